/**
 * Ranges of a node that a request holds for itself: a read-modify-write must not overlap another write.
 * Waiters are served in the order they came.
 */

interface Range {
  readonly start: number;
  readonly end: number;
  readonly released: Promise<void>;
  release(): void;
}

export class RangeLocks {
  private readonly held = new Set<Range>();

  /** Waits for every earlier overlapping range, then holds this one until the returned function is called. */
  async acquire(offset: number, bytes: number): Promise<() => void> {
    const end = offset + bytes;
    const earlier = [...this.held].filter((range) => range.start < end && offset < range.end);
    let settle = (): void => {};
    const released = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const range: Range = {
      start: offset,
      end,
      released,
      release: () => {
        this.held.delete(range);
        settle();
      },
    };
    this.held.add(range);
    for (const other of earlier) await other.released;
    return range.release;
  }
}
