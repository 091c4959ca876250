/**
 * The clock of a machine under test: it stands still until it is told to go on (specification: cli, section 6).
 *
 * What the guest's time decides keeps to it: limits on disks, latencies, statistics. The wall clock goes on.
 */
import type { Clock, Timer } from '../../platform/platform.ts';

interface Waiting {
  atNs: number;
  callback: () => void;
}

export class QtestClock implements Clock {
  private now = 0;
  private timers: Waiting[] = [];

  constructor(private readonly real: Clock) {}

  nowNs(): number {
    return this.now;
  }

  wallClock(): { seconds: number; microseconds: number } {
    return this.real.wallClock();
  }

  yield(): Promise<void> {
    return this.real.yield();
  }

  setTimer(delayNs: number, callback: () => void): Timer {
    const entry = { atNs: this.now + Math.max(0, delayNs), callback };
    this.timers.push(entry);
    return {
      cancel: () => {
        this.timers = this.timers.filter((timer) => timer !== entry);
      },
    };
  }

  /** Nanoseconds to the next timer, undefined without one. */
  untilNextTimer(): number | undefined {
    if (this.timers.length === 0) return undefined;
    return Math.max(0, Math.min(...this.timers.map(({ atNs }) => atNs)) - this.now);
  }

  /** Goes on to `targetNs`, timer by timer; what each of them starts gets its turn before the next. */
  async advanceTo(targetNs: number): Promise<void> {
    for (;;) {
      const due = this.timers
        .filter(({ atNs }) => atNs <= targetNs)
        .reduce<Waiting | undefined>(
          (first, timer) => (first && first.atNs <= timer.atNs ? first : timer),
          undefined,
        );
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.now = Math.max(this.now, due.atNs);
      due.callback();
      await this.real.yield();
    }
    this.now = Math.max(this.now, targetNs);
  }
}
