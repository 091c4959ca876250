import { describe, expect, it } from 'vitest';
import { Pacer } from '../../host/platform/pacer.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const ms = 1_000_000;

describe('the pacer', () => {
  it('lets a loop go on until 2 ms have passed', async () => {
    const platform = new VirtualPlatform();
    const pacer = new Pacer(platform.clock);
    await platform.advance(2 * ms - 1);
    expect(pacer.breathe()).toBeUndefined();
    await platform.advance(1);
    expect(pacer.breathe()).toBeInstanceOf(Promise);
  });

  it('lets what is ready go first', async () => {
    const platform = new VirtualPlatform();
    const pacer = new Pacer(platform.clock);
    await platform.advance(2 * ms);
    let isOthersTurn = false;
    setImmediate(() => {
      isOthersTurn = true;
    });
    await pacer.breathe();
    expect(isOthersTurn).toBe(true);
  });

  it('counts from the end of the pause, and makes one pause for all who share it', async () => {
    const platform = new VirtualPlatform();
    const pacer = new Pacer(platform.clock);
    await platform.advance(5 * ms);
    const pause = pacer.breathe();
    expect(pacer.breathe()).toBe(pause);
    await pause;
    expect(pacer.breathe()).toBeUndefined();
  });

  it('pauses as long as it is told, and works between two pauses', async () => {
    const platform = new VirtualPlatform();
    const pacer = new Pacer(platform.clock, { turnNs: 2 * ms, pauseNs: 5 * ms });
    for (let round = 0; round < 3; round++) {
      expect(pacer.breathe()).toBeUndefined();
      await platform.advance(2 * ms);
      let isOver = false;
      const pause = pacer.breathe()?.then(() => {
        isOver = true;
      });
      await platform.advance(5 * ms - 1);
      expect(isOver).toBe(false);
      await platform.advance(1);
      await pause;
    }
  });
});
