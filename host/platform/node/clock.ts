/**
 * Time of the operating system. Timers have millisecond resolution and never fire early; delays below a millisecond
 * (latency simulation, throttling) turn through the event loop until they are due.
 */
import type { Clock, Timer } from '../platform.ts';

/** What setTimeout can express. */
const longestTimeoutMs = 2 ** 31 - 1;
/** How far the fine clock may be from the wall clock before it was set. */
const driftMs = 2;

/** Wall clock time at which performance.now() was 0, kept up with changes of the wall clock. */
let originMs = performance.timeOrigin;

export const clock: Clock = {
  nowNs: () => Math.floor(performance.now() * 1e6),

  wallClock() {
    const coarseMs = Date.now();
    if (Math.abs(originMs + performance.now() - coarseMs) > driftMs) originMs = coarseMs - performance.now();
    const micros = Math.floor((originMs + performance.now()) * 1000);
    return { seconds: Math.floor(micros / 1e6), microseconds: micros % 1e6 };
  },

  setTimer: (delayNs, callback) => new NodeTimer(performance.now() + delayNs / 1e6, callback),

  yield: () => new Promise((resolve) => setImmediate(resolve)),
};

class NodeTimer implements Timer {
  private timeout: NodeJS.Timeout | undefined;
  private immediate: NodeJS.Immediate | undefined;

  constructor(
    private readonly dueMs: number,
    private readonly callback: () => void,
  ) {
    this.arm();
  }

  private arm(): void {
    const restMs = this.dueMs - performance.now();
    if (restMs < 1) this.immediate = setImmediate(() => this.elapsed());
    else this.timeout = setTimeout(() => this.elapsed(), Math.min(restMs, longestTimeoutMs));
  }

  private elapsed(): void {
    if (performance.now() < this.dueMs) this.arm();
    else this.callback();
  }

  cancel(): void {
    clearTimeout(this.timeout);
    clearImmediate(this.immediate);
  }
}
