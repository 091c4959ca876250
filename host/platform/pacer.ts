/**
 * Lets the event loop in: whoever loops over requests calls `breathe` on each round, and at most every 2 ms of work
 * everything else that is ready (a monitor's input, timers, other requests) gets its turn. Loops that run side by side
 * share one (all jobs do), so that several of them together still leave no longer gaps.
 *
 * Where there are guests they say how long each of these turns is to be, which is longer the more they suffer.
 */
import type { Clock } from './platform.ts';

const intervalNs = 2_000_000;

interface Guests {
  /** What to wait each time before going on, in nanoseconds. */
  pauseNs(): number;
}

export class Pacer {
  private lastNs: number;
  private yielding: Promise<void> | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly guests?: Guests,
  ) {
    this.lastNs = clock.nowNs();
  }

  /** Settles when others have had their turn. Undefined when it is not yet time for that: the caller need not wait. */
  breathe(): Promise<void> | undefined {
    if (this.yielding !== undefined) return this.yielding;
    // Asked for each time: it is by this that guests know that somebody is copying.
    const pauseNs = this.guests?.pauseNs() ?? 0;
    // However long the pauses are, there is work between them.
    if (this.clock.nowNs() - this.lastNs < intervalNs) return undefined;
    this.yielding = this.rest(pauseNs).then(() => {
      this.lastNs = this.clock.nowNs();
      this.yielding = undefined;
    });
    return this.yielding;
  }

  private rest(pauseNs: number): Promise<void> {
    if (pauseNs === 0) return this.clock.yield();
    return new Promise((resolve) => void this.clock.setTimer(pauseNs, resolve));
  }
}
