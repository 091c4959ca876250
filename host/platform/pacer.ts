/**
 * Lets the event loop in: whoever loops over requests calls `breathe` on each round, and at most every 2 ms of work
 * everything else that is ready (a monitor's input, timers, other requests) gets its turn. Loops that run side by side
 * share one (all jobs do), so that several of them together still leave no longer gaps.
 */
import type { Clock } from './platform.ts';

const intervalNs = 2_000_000;

export class Pacer {
  private lastNs: number;
  private yielding: Promise<void> | undefined;

  constructor(private readonly clock: Clock) {
    this.lastNs = clock.nowNs();
  }

  /** Settles when others have had their turn. Undefined when it is not yet time for that: the caller need not wait. */
  breathe(): Promise<void> | undefined {
    if (this.yielding !== undefined) return this.yielding;
    if (this.clock.nowNs() - this.lastNs < intervalNs) return undefined;
    this.yielding = this.clock.yield().then(() => {
      this.lastNs = this.clock.nowNs();
      this.yielding = undefined;
    });
    return this.yielding;
  }
}
