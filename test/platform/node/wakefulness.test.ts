/** How long the event loop turns for a peer, and how often it is tried with one that is slow. */
import { expect, test } from 'vitest';
import { Wakefulness } from '../../../host/platform/node/wakefulness.ts';

class TestLoop {
  private microseconds = 0;
  turns = 0;
  private waiting: (() => void)[] = [];

  constructor(private readonly count = 2) {}

  readonly afterOthers = (callback: () => void): void => void this.waiting.push(callback);
  readonly nowMs = (): number => this.microseconds / 1000;
  readonly processors = (): number => this.count;

  /** Turns until it would sleep, `ms` at most. */
  run(ms: number): void {
    const end = this.microseconds + 1000 * ms;
    while (this.waiting.length > 0 && this.microseconds < end) {
      this.microseconds += 10;
      this.turns++;
      for (const callback of this.waiting.splice(0)) callback();
    }
    this.microseconds = end;
  }
}

test('the loop turns until a peer that is quick has answered, each time', () => {
  const loop = new TestLoop();
  const wakefulness = new Wakefulness(loop);
  for (let i = 0; i < 100; i++) {
    wakefulness.wrote();
    loop.run(0.03);
    wakefulness.heard();
    loop.run(1);
  }
  expect(loop.turns).toBe(400);
});

test('a peer that takes longer is waited for asleep, and seldom looked for again', () => {
  const loop = new TestLoop();
  const wakefulness = new Wakefulness(loop);
  const tries: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const before = loop.turns;
    wakefulness.wrote();
    loop.run(10);
    if (loop.turns > before) tries.push(i);
    wakefulness.heard();
  }
  expect(tries).toEqual([0, 2, 5, 10, 19, 36, 69, 134, 263, 520, 777]);
  expect(loop.turns).toBeLessThan(11 * 7);
});

test('the only processor is left to the peer', () => {
  const loop = new TestLoop(1);
  new Wakefulness(loop).wrote();
  loop.run(1);
  expect(loop.turns).toBe(0);
});
