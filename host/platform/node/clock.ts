/**
 * Time of the operating system. Timers have millisecond resolution and never fire early; delays below a millisecond
 * (latency simulation, throttling) turn through the event loop until they are due.
 */
import { DueTimer, type WaitingMeans } from '../due-timer.ts';
import type { Clock } from '../platform.ts';

/** How far the fine clock may be from the wall clock before it was set. */
const driftMs = 2;

/** Wall clock time at which performance.now() was 0, kept up with changes of the wall clock. Not read before it is needed: that sets `performance` up. */
let originMs: number | undefined;

const means: WaitingMeans = {
  nowMs: () => performance.now(),
  soon(callback) {
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
  later(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs);
    return () => clearTimeout(timeout);
  },
};

export const clock: Clock = {
  nowNs: () => Math.floor(performance.now() * 1e6),

  wallClock() {
    const coarseMs = Date.now();
    originMs ??= performance.timeOrigin;
    if (Math.abs(originMs + performance.now() - coarseMs) > driftMs) originMs = coarseMs - performance.now();
    const micros = Math.floor((originMs + performance.now()) * 1000);
    return { seconds: Math.floor(micros / 1e6), microseconds: micros % 1e6 };
  },

  setTimer: (delayNs, callback) => new DueTimer(means, delayNs, callback),

  yield: () => new Promise((resolve) => setImmediate(resolve)),
};
