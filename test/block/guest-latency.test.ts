import { describe, expect, it } from 'vitest';
import { GuestLatency } from '../../host/block/guest-latency.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const ms = 1_000_000;

/** A copier that asks once in a millisecond for `windows` windows, and guests with one request after the other. */
async function watch(platform: VirtualPlatform, latency: GuestLatency, windows: number, requestNs: number) {
  for (let passed = 0; passed < windows * 25 * ms; ) {
    latency.pauseNs();
    const startNs = latency.begin();
    await platform.advance(requestNs);
    latency.end(startNs);
    const restNs = Math.max(0, ms - requestNs);
    await platform.advance(restNs);
    passed += requestNs + restNs;
  }
  return latency.pauseNs();
}

function setUp() {
  const platform = new VirtualPlatform();
  return { platform, latency: new GuestLatency(platform.clock) };
}

describe('pauses for guests', () => {
  it('are none while nobody is slow', async () => {
    const { platform, latency } = setUp();
    expect(await watch(platform, latency, 10, 0.1 * ms)).toBe(0);
  });

  it('grow with guests that have become slow, up to a limit, and shrink when that is over', async () => {
    const { platform, latency } = setUp();
    await watch(platform, latency, 3, 0.1 * ms);
    const first = await watch(platform, latency, 2, 3 * ms);
    expect(first).toBeGreaterThan(0);
    expect(await watch(platform, latency, 3, 3 * ms)).toBeGreaterThan(first);
    expect(await watch(platform, latency, 20, 3 * ms)).toBe(20 * ms);
    expect(await watch(platform, latency, 20, 0.1 * ms)).toBe(0);
  });

  it('are none for guests that are slow by nature', async () => {
    const { platform, latency } = setUp();
    expect(await watch(platform, latency, 5, 5 * ms)).toBeLessThan(20 * ms);
    expect(await watch(platform, latency, 20, 5 * ms)).toBe(0);
  });

  it('grow while a request does not end', async () => {
    const { platform, latency } = setUp();
    latency.pauseNs();
    latency.begin();
    await platform.advance(60 * ms);
    expect(latency.pauseNs()).toBeGreaterThan(0);
  });

  it('are not counted when nobody has asked for long', async () => {
    const { platform, latency } = setUp();
    latency.pauseNs();
    const startNs = latency.begin();
    await platform.advance(2000 * ms);
    latency.end(startNs);
    expect(latency.begin()).toBe(-1);
  });
});
