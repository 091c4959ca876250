/**
 * What runs the guest's code, where there is something that does: an emulator that `stop` and `cont` act on.
 *
 * None of its members fails but `checkReset`: an emulator that cannot be stopped is a bug of the emulator.
 */
export interface Processor {
  /** Absent: it cannot be kept. */
  readonly state?: ProcessorState | undefined;

  /** From now on the guest's code runs. Harmless while it does. */
  run(): void;

  /**
   * Settles when no code of the guest runs any more and, with `forDisks`, every request that it had made of its disks
   * has been answered. Another call without `forDisks` means that some cannot be: then nobody waits for them any longer.
   */
  halt(wait: { forDisks: boolean }): Promise<void>;

  /** Throws when it cannot be reset. */
  checkReset?(): void;

  /** Tells the guest that the power button was pressed; what it does about that, if anything, is its own affair. Absent: there is none. */
  pressPowerButton?(): void;

  /** As the reset button, once the disks have answered. The code runs afterwards if it did before. */
  reset(): Promise<void>;
}

/** What a processor keeps beside the disks, as long as the machine stands. */
export interface ProcessorState {
  /** Errors: a request of the guest has not been answered, because the machine was stopped by an I/O error. */
  saveState(): Promise<ArrayBuffer>;
  /**
   * Errors: as `saveState`; a disk that is not what it was: then the guest's memory and its disks do not go together, and the
   * machine must not go on.
   */
  restoreState(state: ArrayBuffer): Promise<void>;
  /** From now on the content of the disks that can be written is counted from a snapshot. */
  refer(snapshot: string): Promise<void>;
}
