/**
 * An order for what goes on side by side: each takes a place before it begins, and waits at some point of its work until
 * all places taken before are left.
 */
import { createDeferred } from './deferred.ts';

export interface Place {
  /** Settles when every place taken before is left. */
  readonly first: Promise<void>;
  /** To be called by all who have taken a place, whatever becomes of them. More than once does nothing. */
  leave(): void;
}

export class Order {
  private last: Promise<void> = Promise.resolve();

  take(): Place {
    const first = this.last;
    const left = createDeferred();
    this.last = left.promise;
    return { first, leave: () => void first.then(left.resolve) };
  }
}
