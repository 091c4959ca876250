/**
 * Time of the browser. Its fine clock moves in steps of 5 to 100 µs. Timers never fire early; delays below a millisecond
 * turn through the event loop until they are due, since a timer set by a timer waits at least 4 ms.
 */
import type { Clock, Timer } from '../platform.ts';

/** What setTimeout can express. */
const longestTimeoutMs = 2 ** 31 - 1;

export const clock: Clock = {
  nowNs: () => Math.floor(performance.now() * 1e6),

  wallClock() {
    const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    // The origin is that of the worker's start: the user may have set the clock since.
    const drift = Date.now() - micros / 1000;
    const now = Math.abs(drift) > 2 ? Date.now() * 1000 : micros;
    return { seconds: Math.floor(now / 1e6), microseconds: now % 1e6 };
  },

  setTimer: (delayNs, callback) => new BrowserTimer(performance.now() + delayNs / 1e6, callback),

  yield: () => new Promise((resolve) => afterEverythingReady(resolve)),
};

/** A message to oneself is a task like every other, and waits for nothing. */
const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

function afterEverythingReady(callback: () => void): void {
  waiting.push(callback);
  channel.port2.postMessage(undefined);
}

class BrowserTimer implements Timer {
  private timeout: ReturnType<typeof setTimeout> | undefined;
  private cancelled = false;

  constructor(
    private readonly dueMs: number,
    private readonly callback: () => void,
  ) {
    this.arm();
  }

  private arm(): void {
    const restMs = this.dueMs - performance.now();
    if (restMs < 1) afterEverythingReady(() => this.elapsed());
    else this.timeout = setTimeout(() => this.elapsed(), Math.min(restMs, longestTimeoutMs));
  }

  private elapsed(): void {
    if (this.cancelled) return;
    if (performance.now() < this.dueMs) this.arm();
    else this.callback();
  }

  cancel(): void {
    this.cancelled = true;
    clearTimeout(this.timeout);
  }
}
