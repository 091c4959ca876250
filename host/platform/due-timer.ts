/**
 * A timer that never fires early, from means that may: it waits as long as these can, and looks again until it is due.
 * Below a millisecond it turns through the event loop, where timers would be too coarse.
 */
import type { Timer } from './platform.ts';

/** What a kind of program waits by. Both ways of waiting give what takes them back. */
export interface WaitingMeans {
  nowMs(): number;
  /** In one of the next turns of the event loop. */
  soon(callback: () => void): () => void;
  /** `delayMs`: at most what setTimeout can express. */
  later(delayMs: number, callback: () => void): () => void;
}

/** What setTimeout can express. */
const longestTimeoutMs = 2 ** 31 - 1;

export class DueTimer implements Timer {
  private readonly dueMs: number;
  private stopWaiting: () => void = () => {};

  constructor(
    private readonly means: WaitingMeans,
    delayNs: number,
    private readonly callback: () => void,
  ) {
    this.dueMs = means.nowMs() + delayNs / 1e6;
    this.arm();
  }

  cancel(): void {
    this.stopWaiting();
  }

  private arm(): void {
    const { means } = this;
    const restMs = this.dueMs - means.nowMs();
    const elapsed = (): void => this.elapsed();
    this.stopWaiting =
      restMs < 1 ? means.soon(elapsed) : means.later(Math.min(restMs, longestTimeoutMs), elapsed);
  }

  private elapsed(): void {
    if (this.means.nowMs() < this.dueMs) this.arm();
    else this.callback();
  }
}
