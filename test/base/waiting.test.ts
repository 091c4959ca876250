/** What waiting is made of: a promise settled from outside, waiters for a change, a count of what is in flight. */
import { describe, expect, test } from 'vitest';
import { createDeferred } from '../../host/base/deferred.ts';
import { InFlight } from '../../host/base/in-flight.ts';
import { Waiters } from '../../host/base/waiters.ts';

/** Lets everything that is only waiting for its turn go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a deferred promise', () => {
  test('settles with the first value it is given', async () => {
    const answer = createDeferred<number>();
    const { resolve } = answer;
    resolve(1);
    answer.resolve(2);
    expect(await answer.promise).toBe(1);
  });
});

describe('waiters', () => {
  test('go on at the next change, in the order they came', async () => {
    const waiters = new Waiters();
    const order: string[] = [];
    const wait = (name: string): Promise<void> => waiters.wait().then(() => void order.push(name));
    waiters.wake();
    void wait('first');
    void wait('second');
    expect(waiters.isEmpty).toBe(false);
    await settle();
    expect(order).toEqual([]);
    waiters.wake();
    expect(waiters.isEmpty).toBe(true);
    void wait('third');
    await settle();
    expect(order).toEqual(['first', 'second']);
  });

  test('that wait again when they are woken are for the next time', async () => {
    const waiters = new Waiters();
    let rounds = 0;
    const loop = async (): Promise<void> => {
      for (;;) {
        await waiters.wait();
        rounds++;
      }
    };
    void loop();
    waiters.wake();
    await settle();
    expect([rounds, waiters.isEmpty]).toEqual([1, false]);
  });
});

describe('requests in flight', () => {
  test('are waited for until the last has ended', async () => {
    const inFlight = new InFlight();
    await inFlight.whenIdle();
    inFlight.begin();
    inFlight.begin();
    let isOver = false;
    void inFlight.whenIdle().then(() => {
      isOver = true;
    });
    inFlight.end();
    await settle();
    expect([isOver, inFlight.isIdle]).toEqual([false, false]);
    inFlight.end();
    await settle();
    expect([isOver, inFlight.isIdle]).toEqual([true, true]);
  });

  test('that begin at once when the last has ended are waited for, too', async () => {
    const inFlight = new InFlight();
    inFlight.begin();
    let isOver = false;
    void inFlight.whenIdle().then(() => {
      isOver = true;
    });
    inFlight.end();
    inFlight.begin();
    await settle();
    expect(isOver).toBe(false);
    inFlight.end();
    await settle();
    expect(isOver).toBe(true);
  });
});
