/**
 * Ranges of a node that requests hold: those that must not overlap wait for each other (specification: graph, section 9).
 * Waiters are served in the order they came.
 */
import { createDeferred } from '../base/deferred.ts';

interface Range {
  readonly start: number;
  readonly end: number;
  readonly shared: boolean;
  readonly released: Promise<void>;
  release(): void;
}

export class RangeLocks {
  private readonly held = new Set<Range>();
  /** Requests that need not lock for their own sake do so only while somebody here asks them to. */
  users = 0;

  /**
   * Waits for every earlier overlapping range, then holds this one until the returned function is called. Those that
   * are `shared` do not wait for each other.
   */
  async acquire(offset: number, bytes: number, shared = false): Promise<() => void> {
    const end = offset + bytes;
    const earlier = [...this.held].filter(
      (range) => range.start < end && offset < range.end && !(shared && range.shared),
    );
    const { promise: released, resolve } = createDeferred();
    const range: Range = {
      start: offset,
      end,
      shared,
      released,
      release: () => {
        this.held.delete(range);
        resolve();
      },
    };
    this.held.add(range);
    for (const other of earlier) await other.released;
    return range.release;
  }
}
