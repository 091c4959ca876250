/**
 * What the sectors of a disk may hold after a crash, given the requests of its guest and when they began and ended.
 *
 * A sector holds the number of its last write before the last completed flush, or of any write that began later; one
 * that failed may have happened or not. Zero stands for zeros. No two requests for one sector are in flight at once.
 */

export const sectorBytes = 512;

export type ModelEvent =
  | { type: 'write'; first: number; values: number[] }
  | { type: 'written'; first: number; values: number[] }
  | { type: 'resize'; length: number }
  | { type: 'resized'; length: number }
  | { type: 'flush' }
  | { type: 'flushed'; flush: number };

/** An event and how many entries of the journal there were at that moment. */
export type TimedEvent = ModelEvent & { position: number };

/** What each sector may hold, as events go by. */
export class DiskModel {
  /** Values of one sector, oldest first; all of them are possible. Not there: zeros. */
  private readonly sectors = new Map<number, { value: number; done: boolean }[]>();
  /** By flush: which value of each sector it makes durable. */
  private readonly flushes: Map<number, number>[] = [];
  private lengths: number[];
  private next = 0;
  flushesDone = 0;

  constructor(
    private readonly events: readonly TimedEvent[],
    length: number,
  ) {
    this.lengths = [length];
  }

  advanceTo(position: number): void {
    while (this.next < this.events.length && this.events[this.next]!.position <= position)
      this.step(this.events[this.next++]!);
  }

  private values(sector: number): { value: number; done: boolean }[] {
    let values = this.sectors.get(sector);
    if (!values) this.sectors.set(sector, (values = [{ value: 0, done: true }]));
    return values;
  }

  private step(event: TimedEvent): void {
    switch (event.type) {
      case 'write':
        event.values.forEach((value, i) => {
          this.values(event.first + i).push({ value, done: false });
        });
        break;
      case 'written':
        event.values.forEach((_, i) => {
          this.values(event.first + i).at(-1)!.done = true; // 'write' put it there
        });
        break;
      case 'flush': {
        const covered = new Map<number, number>();
        for (const [sector, values] of this.sectors)
          covered.set(
            sector,
            values.findLastIndex(({ done }) => done),
          );
        this.flushes.push(covered);
        break;
      }
      case 'flushed':
        this.flushed(event.flush);
        break;
      case 'resize':
        this.lengths.push(event.length);
        break;
      case 'resized':
        this.lengths = [event.length];
        break;
    }
  }

  private flushed(flush: number): void {
    this.flushesDone++;
    // 'flush' came first.
    for (const [sector, gone] of this.flushes[flush]!) {
      if (gone <= 0) continue;
      this.values(sector).splice(0, gone);
      // Other flushes that are still on their way count from the new beginning.
      for (const other of this.flushes.slice(flush + 1)) {
        const count = other.get(sector);
        if (count !== undefined) other.set(sector, Math.max(0, count - gone));
      }
    }
  }

  /** What is wrong with a disk, or undefined. */
  verify(length: number, read: (sector: number) => Uint8Array): string | undefined {
    if (!this.lengths.includes(length))
      return `the disk has ${length} sectors instead of ${this.lengths.join(' or ')}`;
    for (const [sector, values] of this.sectors) {
      if (sector >= length) continue;
      const data = read(sector);
      const words = new Uint32Array(data.buffer, data.byteOffset, sectorBytes / 4);
      const found = words[0]!; // a sector has words
      const uniform = words.every((word) => word === found);
      if (!uniform || !values.some(({ value }) => value === found)) {
        const allowed = values.map(({ value }) => value).join(' or ');
        return `sector ${sector} has ${uniform ? found : 'a mixture'} instead of ${allowed}`;
      }
    }
    return undefined;
  }
}
