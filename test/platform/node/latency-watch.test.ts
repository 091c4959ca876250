import { describe, expect, test } from 'vitest';
import { LatencyWatch } from '../../../host/platform/node/latency-watch.ts';

/** A watch with requests that take `tookMs` each, as long as they are allowed in place. */
function afterSamples(...tookMs: number[]): { watch: LatencyWatch; nowMs: number } {
  const watch = new LatencyWatch();
  let nowMs = 1000;
  for (const took of tookMs) {
    if (watch.mayBlock(nowMs)) watch.record(nowMs, nowMs + took, 0);
    nowMs += took;
  }
  return { watch, nowMs };
}

describe('the latency watch', () => {
  test('lets fast requests block for ever', () => {
    const { watch, nowMs } = afterSamples(...new Array<number>(1000).fill(0.003));
    expect(watch.mayBlock(nowMs)).toBe(true);
  });

  test('forgives one slow request among fast ones', () => {
    const { watch, nowMs } = afterSamples(0.003, 0.003, 40, 0.003);
    expect(watch.mayBlock(nowMs)).toBe(true);
  });

  test('sends requests to the pool when the disk is slow, and tries again after a while', () => {
    const { watch, nowMs } = afterSamples(5, 5);
    expect(watch.mayBlock(nowMs)).toBe(false);
    expect(watch.mayBlock(nowMs + 10)).toBe(false);
    expect(watch.mayBlock(nowMs + 25)).toBe(true);
  });

  test('waits longer after every try that was slow, up to a limit', () => {
    let { watch, nowMs } = afterSamples(5, 5);
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      const start = nowMs;
      while (!watch.mayBlock(nowMs)) nowMs++;
      pauses.push(nowMs - start);
      watch.record(nowMs, nowMs + 5, 0);
      nowMs += 5;
    }
    expect(pauses).toEqual([20, 40, 80, 160, 320, 640, 640, 640]);
  });

  test('goes back to blocking after one fast try', () => {
    const { watch, nowMs } = afterSamples(5, 5);
    watch.record(nowMs + 30, nowMs + 30.004, 0);
    expect(watch.mayBlock(nowMs + 30.004)).toBe(true);
    watch.record(nowMs + 31, nowMs + 31.004, 0);
    expect(watch.mayBlock(nowMs + 31.004)).toBe(true);
  });
});
