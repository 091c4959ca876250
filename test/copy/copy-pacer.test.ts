import { describe, expect, it } from 'vitest';
import { GuestLatency, unmeasured } from '../../host/block/guest-latency.ts';
import { CopyPacer, copyPacerOf } from '../../host/copy/copy-pacer.ts';
import { kib, mib } from '../support/units.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const ms = 1_000_000;

class World {
  readonly platform = new VirtualPlatform();
  readonly guests = new GuestLatency();
  readonly pacer = new CopyPacer(this.platform.clock, this.guests);

  /** A copy that asks once in a millisecond for so many windows, and guests with one request after the other. */
  async watch(windows: number, requestNs: number): Promise<void> {
    for (let passed = 0; passed < windows * 25 * ms; ) {
      void this.pacer.breathe();
      const startNs = this.guests.begin();
      await this.platform.advance(requestNs);
      this.guests.end(startNs);
      const restNs = Math.max(0, ms - requestNs);
      await this.platform.advance(restNs);
      passed += requestNs + restNs;
    }
  }

  /** How long the next pause is; the copy has worked before. */
  async pauseNs(): Promise<number> {
    await this.platform.advance(10 * ms);
    const pause = this.pacer.breathe();
    const startNs = this.platform.clock.nowNs();
    let endNs: number | undefined;
    void pause?.then(() => {
      endNs = this.platform.clock.nowNs();
    });
    await this.platform.settle();
    while (endNs === undefined) await this.platform.advance(0.05 * ms);
    return endNs - startNs;
  }

  get inFlightBytes(): number {
    return this.pacer.inFlightBytes(64 * mib);
  }
}

describe('copies beside guests', () => {
  it('may have in flight what they like while guests rest, and little as soon as one makes a request', async () => {
    const world = new World();
    await world.pacer.breathe();
    expect([world.inFlightBytes, world.pacer.pieceBytes(mib)]).toEqual([64 * mib, mib]);
    world.guests.end(world.guests.begin());
    expect([world.inFlightBytes, world.pacer.pieceBytes(mib)]).toEqual([256 * kib, 64 * kib]);
    expect(world.pacer.pieceBytes(2 * mib, mib)).toBe(mib);
    expect(world.pacer.pieceBytes(16 * kib)).toBe(16 * kib);
  });

  it('may have everything again when guests have made no request for a while', async () => {
    const world = new World();
    await world.watch(3, 0.1 * ms);
    for (let waited = 0; waited < 200; waited += 10) {
      void world.pacer.breathe();
      await world.platform.advance(10 * ms);
    }
    expect(world.inFlightBytes).toBe(64 * mib);
  });

  it('work for short turns while there are guests', async () => {
    const { platform, guests, pacer } = new World();
    await pacer.breathe();
    await platform.advance(ms);
    expect(pacer.breathe()).toBeUndefined();
    guests.end(guests.begin());
    const pause = pacer.breathe();
    expect(pause).toBeInstanceOf(Promise);
    await pause;
    expect(pacer.breathe()).toBeUndefined();
    await platform.advance(0.2 * ms);
    expect(pacer.breathe()).toBeInstanceOf(Promise);
  });

  it('make pauses that grow with guests that have become slow, up to a limit, and end with that', async () => {
    const world = new World();
    await world.watch(3, 0.1 * ms);
    expect(await world.pauseNs()).toBe(0);
    await world.watch(3, 3 * ms);
    const first = await world.pauseNs();
    expect(first).toBeGreaterThan(0);
    await world.watch(3, 3 * ms);
    expect(await world.pauseNs()).toBeGreaterThan(first);
    await world.watch(20, 3 * ms);
    expect(Math.round((await world.pauseNs()) / ms)).toBe(4);
    await world.watch(20, 0.1 * ms);
    expect(await world.pauseNs()).toBe(0);
  });

  it('have more in flight the longer guests do well, and less at once when they do not', async () => {
    const world = new World();
    await world.watch(10, 0.1 * ms);
    expect(world.inFlightBytes).toBe(512 * kib);
    await world.watch(90, 0.1 * ms);
    expect(world.inFlightBytes).toBe(16 * mib);
    await world.watch(2, 3 * ms);
    const less = world.inFlightBytes;
    expect(less).toBeLessThanOrEqual(4 * mib);
    await world.watch(10, 0.1 * ms);
    expect(world.inFlightBytes).toBeLessThanOrEqual(less);
  });

  it('make no pauses for guests that are slow by nature', async () => {
    const world = new World();
    await world.watch(30, 5 * ms);
    expect(await world.pauseNs()).toBe(0);
  });

  it('make pauses while a request does not end', async () => {
    const world = new World();
    await world.pacer.breathe();
    world.guests.begin();
    await world.platform.advance(60 * ms);
    void world.pacer.breathe();
    expect(await world.pauseNs()).toBeGreaterThan(0);
  });

  it('measure no guest when nobody has copied for long', async () => {
    const { platform, guests, pacer } = new World();
    expect(guests.begin()).toBe(unmeasured);
    void pacer.breathe();
    const startNs = guests.begin();
    expect(startNs).toBeGreaterThanOrEqual(0);
    await platform.advance(2000 * ms);
    guests.end(startNs);
    expect(guests.begin()).toBe(unmeasured);
  });

  it('share one pacer where they share guests', () => {
    const platform = new VirtualPlatform();
    const guests = new GuestLatency();
    expect(copyPacerOf({ guests, platform })).toBe(copyPacerOf({ guests, platform }));
  });
});
