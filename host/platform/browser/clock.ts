/**
 * Time of the browser. Its fine clock moves in steps of 5 to 100 µs. Timers never fire early; delays below a millisecond
 * turn through the event loop until they are due, since a timer set by a timer waits at least 4 ms.
 */
import { DueTimer, type WaitingMeans } from '../due-timer.ts';
import type { Clock } from '../platform.ts';

const means: WaitingMeans = {
  nowMs: () => performance.now(),
  soon(callback) {
    let isCancelled = false;
    afterEverythingReady(() => {
      if (!isCancelled) callback();
    });
    return () => {
      isCancelled = true;
    };
  },
  later(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs);
    return () => clearTimeout(timeout);
  },
};

export const clock: Clock = {
  nowNs: () => Math.floor(performance.now() * 1e6),

  wallClock() {
    const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    // The origin is that of the worker's start: the user may have set the clock since.
    const drift = Date.now() - micros / 1000;
    const now = Math.abs(drift) > 2 ? Date.now() * 1000 : micros;
    return { seconds: Math.floor(now / 1e6), microseconds: now % 1e6 };
  },

  setTimer: (delayNs, callback) => new DueTimer(means, delayNs, callback),

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
