/**
 * Chunks that are to be fetched: those that somebody waits for, and those that are fetched in advance, each kind in the
 * order in which it was asked for. Neighbours leave together.
 */

export interface ChunkRun {
  first: number;
  count: number;
}

export class ChunkQueue {
  private readonly urgent = new Set<number>();
  private readonly ahead = new Set<number>();

  get hasUrgent(): boolean {
    return this.urgent.size > 0;
  }

  add(chunk: number, isUrgent: boolean): void {
    (isUrgent ? this.urgent : this.ahead).add(chunk);
  }

  /** Somebody waits for it now. Nothing happens when it is not here. */
  hurry(chunk: number): void {
    if (this.ahead.delete(chunk)) this.urgent.add(chunk);
  }

  /** The next that somebody waits for, with those behind it, at most `most`; `withAhead`: also with what nobody waits for. */
  takeUrgent(most: number, withAhead: boolean): ChunkRun | undefined {
    return take(this.urgent, withAhead ? [this.urgent, this.ahead] : [this.urgent], most);
  }

  takeAhead(most: number): ChunkRun | undefined {
    return take(this.ahead, [this.ahead], most);
  }

  /** Takes out all. */
  clear(): number[] {
    const all = [...this.urgent, ...this.ahead];
    this.urgent.clear();
    this.ahead.clear();
    return all;
  }
}

/** The first of `queue`, with what follows it in any of `queues`. */
function take(queue: Set<number>, queues: readonly Set<number>[], most: number): ChunkRun | undefined {
  for (const first of queue) {
    let count = 0;
    while (count < most && queues.some((each) => each.delete(first + count))) count++;
    return { first, count };
  }
  return undefined;
}
