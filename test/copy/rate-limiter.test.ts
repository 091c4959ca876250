import { describe, expect, it } from 'vitest';
import { RateLimiter } from '../../host/copy/rate-limiter.ts';
import { mib } from '../support/units.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

function limited(speed: number): { limiter: RateLimiter; advance(ns: number): Promise<void> } {
  const platform = new VirtualPlatform();
  const limiter = new RateLimiter(platform.clock);
  limiter.setSpeed(speed);
  return { limiter, advance: (ns) => platform.advance(ns) };
}

describe('the speed limiter', () => {
  it('never delays without a speed', () => {
    const { limiter } = limited(0);
    expect(limiter.delay(1e12)).toBe(0);
    expect(limiter.isUnlimited).toBe(true);
  });

  it('lets 64 KiB/s send 1 MiB and then waits 16 seconds', async () => {
    const { limiter, advance } = limited(65536);
    expect(limiter.delay(0)).toBe(0);
    limiter.delay(mib);
    const delay = limiter.delay(0);
    // The quota of a slice is cut to whole bytes: 6553 instead of 6553.6.
    expect(delay / 1e9).toBeCloseTo(16.001, 2);
    await advance(delay + 1);
    expect(limiter.delay(0)).toBe(0);
  });

  it('starts a new slice after a quiet time, without credit for it', async () => {
    const { limiter, advance } = limited(1000);
    await advance(60e9);
    expect(limiter.delay(99)).toBe(0);
    expect(limiter.delay(1)).toBe(100_000_000);
  });

  it('has a quota of one byte at least', () => {
    const { limiter } = limited(1);
    expect(limiter.delay(3)).toBe(300_000_000);
  });
});
