/** One at a time, in the order of asking. */

import { createDeferred } from './deferred.ts';
import { settled } from './settled.ts';

export class Mutex {
  private tail: Promise<unknown> = settled;

  /** Runs `act` when everything asked for before has settled, and settles with its outcome. */
  run<T>(act: () => Promise<T>): Promise<T> {
    const result = this.tail.then(act, act);
    this.tail = result.catch(() => {});
    return result;
  }

  /** Settles when everything asked for before has settled; what is asked for later waits until the result is called. */
  acquire(): Promise<() => void> {
    const held = createDeferred();
    const before = this.tail;
    this.tail = held.promise;
    return before.then(() => held.resolve);
  }
}
