import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Clock } from '../../host/platform/platform.ts';

/** Pauses of seconds take milliseconds: what comes after them is what is tested. */
export const hastyClock: Clock = {
  nowNs: () => nodePlatform.clock.nowNs(),
  wallClock: () => nodePlatform.clock.wallClock(),
  yield: () => nodePlatform.clock.yield(),
  setTimer: (delayNs, callback) =>
    nodePlatform.clock.setTimer(delayNs < 10e9 ? delayNs / 100 : delayNs, callback),
};
