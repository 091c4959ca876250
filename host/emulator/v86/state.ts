/**
 * What v86 keeps of a machine that stands, and how it is put back: memory, devices, and of each disk its size and a reference
 * to its content (guest-disk.ts). Keeping and bringing back the content is up to the caller, before `restoreState`.
 */
import { invalid } from '../../base/errors.ts';
import type { ProcessorState } from '../../machine/processor.ts';
import type { V86Disk } from './disk.ts';
import type { V86Emulator } from './emulator.ts';
import type { V86Processor } from './processor.ts';

export class V86State implements ProcessorState {
  constructor(
    private readonly emulator: V86Emulator,
    private readonly processor: V86Processor,
    /** By the names for messages. */
    private readonly disks: readonly (readonly [string, V86Disk])[],
  ) {}

  async saveState(): Promise<ArrayBuffer> {
    this.checkIdle();
    return this.emulator.save_state();
  }

  async restoreState(state: ArrayBuffer): Promise<void> {
    this.checkIdle();
    this.processor.powerManagement?.suit(state);
    await this.emulator.restore_state(state);
    for (const [name, disk] of this.disks) checkRestored(name, disk);
  }

  async refer(snapshot: string): Promise<void> {
    for (const [, { disk }] of this.disks) {
      if (!disk.isReadOnly) disk.setReference({ snapshot, generation: 0 });
    }
  }

  private checkIdle(): void {
    if (this.processor.isIdle) return;
    throw invalid(
      'The guest waits for a request that has failed: let the machine go on, or remove the cause',
    );
  }
}

/**
 * Whether the state that was restored last belongs to what is on the disk; one that refers to no snapshot says nothing about
 * that. Errors: it does not.
 */
export function checkRestored(name: string, disk: V86Disk): void {
  const restored = disk.takeRestored();
  if (!restored) return;
  if (restored.byteLength !== disk.byteLength) {
    throw invalid(
      `The state is of a machine whose ${name} has ${restored.byteLength} bytes, not ${disk.byteLength}`,
    );
  }
  const { snapshot, generation } = restored.reference;
  const found = disk.disk.getReference();
  if (snapshot === '' || (snapshot === found.snapshot && generation === found.generation)) return;
  throw invalid(
    `The state belongs to ${describe(snapshot, generation)} of ${name}, which now is ${describe(found.snapshot, found.generation)}`,
  );
}

function describe(snapshot: string, generation: number): string {
  const base = snapshot === '' ? 'no snapshot' : `snapshot '${snapshot}'`;
  return generation === 0 ? base : `${base} with ${generation} writes after it`;
}
