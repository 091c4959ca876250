import { describe, expect, test } from 'vitest';
import { clock } from '../../../host/platform/node/clock.ts';

const elapse = (delayNs: number): Promise<number> =>
  new Promise((resolve) => void clock.setTimer(delayNs, () => resolve(clock.nowNs())));

describe('the clock', () => {
  test.each([0, 1, 200_000, 1_500_000, 20_000_000])('never fires a timer of %d ns early', async (delayNs) => {
    const start = clock.nowNs();
    expect((await elapse(delayNs)) - start).toBeGreaterThanOrEqual(delayNs);
  });

  test('fires no timer within the task that set it, nor a cancelled one', async () => {
    const fired: string[] = [];
    clock.setTimer(0, () => fired.push('kept'));
    const cancelled = [0, 2_000_000].map((delayNs) => clock.setTimer(delayNs, () => fired.push('cancelled')));
    for (const timer of cancelled) timer.cancel();
    await Promise.resolve();
    expect(fired).toEqual([]);
    await elapse(5_000_000);
    expect(fired).toEqual(['kept']);
    for (const timer of cancelled) timer.cancel();
  });

  test('takes delays that the operating system cannot express', async () => {
    // More than 2^31 ms: setTimeout alone would fire at once.
    let fired = false;
    const timer = clock.setTimer(1e18, () => (fired = true));
    await elapse(5_000_000);
    timer.cancel();
    expect(fired).toBe(false);
  });

  test('lets timers and immediates run while somebody yields', async () => {
    let ran = false;
    setImmediate(() => (ran = true));
    await clock.yield();
    await clock.yield();
    expect(ran).toBe(true);
  });

  test('tells the time of day', () => {
    const before = Date.now();
    const { seconds, microseconds } = clock.wallClock();
    expect(microseconds).toBeGreaterThanOrEqual(0);
    expect(microseconds).toBeLessThan(1e6);
    expect(Math.abs(seconds * 1000 + microseconds / 1000 - before)).toBeLessThan(5000);
  });
});
