/**
 * v86 as the processor of a machine: it runs, stands and is reset when the machine says so, and nobody else.
 *
 * v86 stops a while after it was told to, and must not be told to run before that. So one thing is done after the other;
 * only the last wish counts.
 */
import { createDeferred, type Deferred } from '../../base/deferred.ts';
import type { Processor, ProcessorState } from '../../machine/processor.ts';
import type { V86Disk } from './disk.ts';
import type { V86Emulator } from './emulator.ts';
import { PowerManagement } from './power-management.ts';

/** Has an emulator run and stand as its machine says. */
export class V86Processor implements Processor {
  /** Set when the emulator is complete. */
  state: ProcessorState | undefined;
  readonly powerManagement: PowerManagement | undefined;
  private wantsToRun = false;
  private work: Promise<void> = Promise.resolve();
  /** Whoever waits for answers of the disks goes on without. */
  private givenUp: Deferred<void> | undefined;

  constructor(
    private readonly emulator: V86Emulator,
    private readonly disks: readonly V86Disk[],
    /** Brings the emulator, which stands, to where it begins. */
    private readonly restart: () => Promise<void> | void = () => emulator.restart(),
    readonly checkReset: () => void = () => {},
  ) {
    this.powerManagement = PowerManagement.of(emulator);
    for (const disk of disks) disk.onCongestion = () => void this.settle();
  }

  run(): void {
    this.wantsToRun = true;
    void this.settle();
  }

  async halt({ forDisks }: { forDisks: boolean }): Promise<void> {
    this.wantsToRun = false;
    this.givenUp?.resolve();
    await this.settle();
    if (forDisks) await this.answered();
  }

  async reset(): Promise<void> {
    const { wantsToRun } = this;
    await this.halt({ forDisks: wantsToRun });
    this.powerManagement?.reset();
    await this.restart();
    if (wantsToRun) this.run();
  }

  pressPowerButton(): void {
    this.powerManagement?.press();
  }

  /** Whether every request that the guest has made of its disks was answered. */
  get isIdle(): boolean {
    return this.disks.every((disk) => disk.isIdle);
  }

  private settle(): Promise<void> {
    this.work = this.work.then(async () => {
      const { emulator, disks } = this;
      const runs = this.wantsToRun && !disks.some((disk) => disk.isCongested);
      if (runs === emulator.is_running()) return;
      await (runs ? emulator.run() : emulator.stop());
    });
    return this.work;
  }

  private async answered(): Promise<void> {
    this.givenUp = createDeferred();
    await Promise.race([Promise.all(this.disks.map((disk) => disk.whenIdle())), this.givenUp.promise]);
  }
}
