/**
 * The part of a disk that the page has at hand: whole blocks, the least recently used ones given up first.
 *
 * It never holds what differs from the disk as the emulator has left it: writes go into the blocks that are here before
 * they are sent, and what a read brings is kept only if nothing was written there since it was sent.
 */

/** What is fetched and kept at a time, in bytes. */
export const blockBytes = 32 << 10;

export class ReadCache {
  /** By block number, least recently used first. */
  private readonly blocks = new Map<number, Uint8Array>();
  private readonly maxBlocks: number;
  /** Reads on their way: what they bring is stale once something in their range is written. */
  private readonly fetches = new Set<Fetch>();

  /** `maxBytes` 0: nothing is ever kept. */
  constructor(maxBytes: number) {
    this.maxBlocks = Math.floor(maxBytes / blockBytes);
  }

  get isOff(): boolean {
    return this.maxBlocks === 0;
  }

  /** Fills `into`, or does nothing and gives false. */
  read(offset: number, into: Uint8Array): boolean {
    const end = offset + into.length;
    const first = Math.floor(offset / blockBytes);
    const last = Math.floor((end - 1) / blockBytes);
    for (let number = first; number <= last; number++) {
      const block = this.blocks.get(number);
      if (!block || number * blockBytes + block.length < Math.min(end, (number + 1) * blockBytes))
        return false;
    }
    for (let number = first; number <= last; number++) {
      const block = this.blocks.get(number)!; // seen above
      const start = number * blockBytes;
      const from = Math.max(offset, start);
      into.set(block.subarray(from - start, Math.min(end, start + block.length) - start), from - offset);
      this.blocks.delete(number);
      this.blocks.set(number, block);
    }
    return true;
  }

  /** What the emulator writes. */
  write(offset: number, data: Uint8Array): void {
    const end = offset + data.length;
    for (const fetch of this.fetches) {
      if (offset < fetch.end && fetch.offset < end) fetch.isStale = true;
    }
    for (let number = Math.floor(offset / blockBytes); number * blockBytes < end; number++) {
      const block = this.blocks.get(number);
      if (!block) continue;
      const start = number * blockBytes;
      const from = Math.max(offset, start);
      const to = Math.min(end, start + block.length);
      if (from < to) block.set(data.subarray(from - offset, to - offset), from - start);
    }
  }

  /** Before a read of whole blocks is sent. */
  beginFetch(offset: number, bytes: number): Fetch {
    const fetch = { offset, end: offset + bytes, isStale: false };
    this.fetches.add(fetch);
    return fetch;
  }

  /** After it: `data` is what came, nothing when it was given up. */
  endFetch(fetch: Fetch, data?: Uint8Array): void {
    this.fetches.delete(fetch);
    if (!data || fetch.isStale || data.length > (this.maxBlocks * blockBytes) / 2) return;
    for (let at = 0; at < data.length; at += blockBytes) {
      const number = (fetch.offset + at) / blockBytes;
      this.blocks.delete(number);
      this.blocks.set(number, data.slice(at, at + blockBytes));
    }
    for (const number of this.blocks.keys()) {
      if (this.blocks.size <= this.maxBlocks) break;
      this.blocks.delete(number);
    }
  }

  /** Somebody else may have written, or the length is another one. */
  clear(): void {
    this.blocks.clear();
    for (const fetch of this.fetches) fetch.isStale = true;
  }
}

/** A read that is on its way. */
export interface Fetch {
  readonly offset: number;
  readonly end: number;
  isStale: boolean;
}
