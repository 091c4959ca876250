import { describe, expect, test } from 'vitest';
import { DueTimer, type WaitingMeans } from '../../host/platform/due-timer.ts';

/** Means that wake early: after nine tenths of what they are asked for. Each wait is noted. */
class HastyMeans implements WaitingMeans {
  ms = 0;
  readonly waits: (number | 'soon')[] = [];
  private wake: (() => void) | undefined;

  nowMs(): number {
    return this.ms;
  }
  soon(callback: () => void): () => void {
    return this.wait('soon', 0.4, callback);
  }
  later(delayMs: number, callback: () => void): () => void {
    return this.wait(delayMs, 0.9 * delayMs, callback);
  }

  /** Lets time pass until nothing waits; gives when that was. */
  run(): number {
    while (this.wake) {
      const { wake } = this;
      this.wake = undefined;
      wake();
    }
    return this.ms;
  }

  private wait(asked: number | 'soon', takesMs: number, callback: () => void): () => void {
    this.waits.push(asked);
    this.wake = () => {
      this.ms += takesMs;
      callback();
    };
    return () => {
      this.wake = undefined;
    };
  }
}

describe('a timer that is due', () => {
  test('fires once, and never early, however early it is woken', () => {
    const means = new HastyMeans();
    let fired = 0;
    new DueTimer(means, 50e6, () => fired++);
    expect(means.run()).toBeGreaterThanOrEqual(50);
    expect(fired).toBe(1);
    expect(means.waits.slice(0, 2)).toEqual([50, 5]);
    expect(means.waits.at(-1)).toBe('soon');
  });

  test('waits in parts for what is longer than a timeout can be', () => {
    const means = new HastyMeans();
    let isOver = false;
    const longestMs = 2 ** 31 - 1;
    new DueTimer(means, 2 * longestMs * 1e6, () => {
      isOver = true;
    });
    expect(means.run()).toBeGreaterThanOrEqual(2 * longestMs);
    expect([isOver, means.waits[0]]).toEqual([true, longestMs]);
  });

  test('never fires when it is cancelled', () => {
    for (const delayNs of [50e6, 1000]) {
      const means = new HastyMeans();
      const timer = new DueTimer(means, delayNs, () => expect.unreachable());
      timer.cancel();
      expect(means.run()).toBe(0);
    }
  });
});
