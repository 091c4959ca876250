/**
 * v86 and a machine of this thread together: `stop`, `cont`, `system_reset` and `query-status` of the monitor are about
 * the emulator, and its state can be saved and restored.
 *
 * Run and stop it through the machine only. A state holds memory and devices, and of each disk its size and a reference
 * to its content (guest-disk.ts); keeping and bringing back the content is up to the caller, before `restoreState`.
 */
import { invalid } from '../../base/errors.ts';
import type { Machine } from '../../machine/machine.ts';
import type { ProcessorState } from '../../machine/processor.ts';
import type { V86Disk } from './disk.ts';
import type { V86Drives } from './drives.ts';
import { createV86, type V86Constructor, type V86Emulator } from './emulator.ts';
import type { FileSources } from './files.ts';
import { V86Processor } from './processor.ts';
import { checkRestored, V86State } from './state.ts';

/** A v86 that runs as the processor of a machine, with the drives of it. */
export class V86Machine<Emulator extends V86Emulator = V86Emulator> implements ProcessorState {
  private readonly disks: readonly (readonly [string, V86Disk])[];
  private readonly processor: V86Processor;
  private readonly state: V86State;

  /**
   * Makes `emulator`, which is loaded and does not run, the processor of `machine`. `drives`: what it was made with.
   * `powerOn`: the state that a reset goes back to, for a kernel that no BIOS would load again.
   */
  constructor(
    readonly machine: Machine,
    readonly emulator: Emulator,
    drives: V86Drives,
    powerOn?: ArrayBuffer,
  ) {
    this.disks = Object.entries(drives) as [string, V86Disk][];
    this.processor = new V86Processor(
      emulator,
      this.disks.map(([, disk]) => disk),
      powerOn &&
        (async () => {
          await emulator.restore_state(powerOn);
          // The disks are what they are: it is memory and devices that begin anew.
          for (const [, disk] of this.disks) disk.takeRestored();
        }),
      () => {
        // v86 cannot restore the PCI device that has its disks without the first of them.
        if (powerOn && !drives.hda) throw invalid('v86 cannot reset a machine that has no first disk');
      },
    );
    this.state = new V86State(emulator, this.processor, this.disks);
    this.processor.state = this.state;
    machine.processor = this.processor;
    if (machine.runState.isRunning) this.processor.run();
  }

  /**
   * Makes an emulator with these drives for a machine. It runs from the next `cont`, or now if the machine runs.
   * `options` are v86's own; `sources` and `prepare` as those of `createV86`. Errors: its own; a disk that is not what it was for an
   * `initial_state`.
   */
  static async start<Emulator extends V86Emulator>(
    machine: Machine,
    V86: V86Constructor<Emulator>,
    drives: V86Drives,
    options: Readonly<Record<string, unknown>>,
    { sources, prepare }: { sources?: FileSources; prepare?: (emulator: Emulator) => void } = {},
  ): Promise<V86Machine<Emulator>> {
    const emulator = await createV86(V86, { ...options, ...drives }, sources, prepare);
    try {
      for (const [name, disk] of Object.entries(drives)) checkRestored(name, disk);
    } catch (error) {
      await emulator.destroy();
      throw error;
    }
    const hasKernel = options['multiboot'] !== undefined || options['initial_state'] !== undefined;
    const hasFirmware = options['bios'] !== undefined || (sources?.findFirmware && !hasKernel);
    return new V86Machine(machine, emulator, drives, hasFirmware ? undefined : await emulator.save_state());
  }

  /**
   * The state of a machine that does not run. Errors: it runs; a request of the guest has not been answered, because
   * the machine was stopped by an I/O error.
   */
  async saveState(): Promise<ArrayBuffer> {
    this.checkStands();
    return this.state.saveState();
  }

  /**
   * Puts a state into a machine that does not run, and leaves it standing. Errors: as `saveState`; a disk that is not
   * what it was: then the guest's memory and its disks do not go together, and the machine must not go on.
   */
  async restoreState(state: ArrayBuffer): Promise<void> {
    this.checkStands();
    await this.state.restoreState(state);
  }

  /** From now on the content of the disks that can be written is counted from a snapshot. */
  refer(snapshot: string): Promise<void> {
    return this.state.refer(snapshot);
  }

  /** Ends the emulator, whatever its disks still have to do. The machine has none afterwards. */
  async close(): Promise<void> {
    await this.processor.halt({ forDisks: false });
    await this.emulator.destroy();
    if (this.machine.processor === this.processor) this.machine.processor = undefined;
  }

  private checkStands(): void {
    if (this.machine.runState.isRunning) throw invalid('The machine runs: stop it first');
  }
}
