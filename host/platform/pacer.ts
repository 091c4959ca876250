/**
 * Lets the event loop in: whoever loops over requests calls `breathe` on each round, and after a turn of 2 ms of work, unless
 * somebody says otherwise, everything else that is ready (a monitor's input, timers, other requests) gets its own. Loops that
 * run side by side share one, so that several of them together still leave no longer gaps.
 */
import type { Clock } from './platform.ts';

/** Looked at each time. */
export interface Pace {
  /** Of work, in nanoseconds. */
  readonly turnNs: number;
  /** What to wait after each turn, in nanoseconds; 0: until what is ready has had its turn. */
  readonly pauseNs: number;
}

export const quickPace: Pace = { turnNs: 2_000_000, pauseNs: 0 };

export class Pacer {
  private lastNs: number;
  private yielding: Promise<void> | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly pace = quickPace,
  ) {
    this.lastNs = clock.nowNs();
  }

  /** Settles when others have had their turn. Undefined when it is not yet time for that: the caller need not wait. */
  breathe(): Promise<void> | undefined {
    if (this.yielding !== undefined) return this.yielding;
    const { turnNs, pauseNs } = this.pace;
    // However long the pauses are, there is work between them.
    if (this.clock.nowNs() - this.lastNs < turnNs) return undefined;
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
