/**
 * A long array of bytes of which little is used: fixed pages, made when something is written to them. What was never
 * written, or was cleared by whole pages, takes no memory and reads as zeros.
 *
 * `clone` is cheap: pages are shared until one side writes to them. There is no length here; owners keep their own.
 */
import { assert } from './assert.ts';

interface SparseRun {
  /** Backed by pages. They may still hold only zeros. */
  present: boolean;
  bytes: number;
}

export class SparseBytes {
  private pages = new Map<number, Uint8Array>();
  /** Pages that no clone shares: these may be written in place. Undefined: all of them. */
  private owned: Set<number> | undefined;
  /** Numbers of all pages in order, when known. */
  private order: number[] | undefined;

  constructor(readonly pageBytes: number) {}

  get allocatedBytes(): number {
    return this.pages.size * this.pageBytes;
  }

  /** Fills `buffer` from `offset`. */
  read(offset: number, buffer: Uint8Array): void {
    this.forEachPage(offset, buffer.length, (index, from, at, bytes) => {
      const page = this.pages.get(index);
      if (page) buffer.set(page.subarray(from, from + bytes), at);
      else buffer.fill(0, at, at + bytes);
    });
  }

  write(offset: number, buffer: Uint8Array): void {
    this.forEachPage(offset, buffer.length, (index, from, at, bytes) => {
      this.writablePage(index).set(bytes === buffer.length ? buffer : buffer.subarray(at, at + bytes), from);
    });
  }

  /** The range reads as zeros; whole pages are given back. */
  clear(offset: number, bytes: number): void {
    // A huge range over few pages is quicker by page than by number.
    const end = offset + bytes;
    if (bytes / this.pageBytes > this.pages.size) {
      for (const index of [...this.pages.keys()]) {
        const start = index * this.pageBytes;
        const from = Math.max(offset, start);
        const to = Math.min(end, start + this.pageBytes);
        if (from < to) this.clearInPage(index, from - start, to - from);
      }
      return;
    }
    this.forEachPage(offset, bytes, (index, from, _at, length) => this.clearInPage(index, from, length));
  }

  /** What reads as zeros in the range takes memory as if it had been written. */
  reserve(offset: number, bytes: number): void {
    this.forEachPage(offset, bytes, (index) => void this.writablePage(index));
  }

  /** What `offset` is in, and for how many bytes from there on that stays so; at most `bytes`. */
  run(offset: number, bytes: number): SparseRun {
    const { pageBytes } = this;
    const first = Math.floor(offset / pageBytes);
    const present = this.pages.has(first);
    let next = first + 1;
    if (present) {
      while (next * pageBytes < offset + bytes && this.pages.has(next)) next++;
    } else {
      next = this.firstPageAfter(first) ?? Number.POSITIVE_INFINITY;
    }
    return { present, bytes: Math.min(bytes, next * pageBytes - offset) };
  }

  /** How much memory writing to the range would add. */
  missingBytes(offset: number, bytes: number): number {
    let missing = 0;
    this.forEachPage(offset, bytes, (index) => {
      if (!this.pages.has(index)) missing += this.pageBytes;
    });
    return missing;
  }

  clone(): SparseBytes {
    const copy = new SparseBytes(this.pageBytes);
    copy.pages = new Map(this.pages);
    copy.order = this.order;
    copy.owned = new Set();
    this.owned = new Set();
    return copy;
  }

  /** Calls back for each page that the range touches: its number, the start in it, the start in the range, bytes. */
  private forEachPage(
    offset: number,
    bytes: number,
    visit: (index: number, from: number, at: number, bytes: number) => void,
  ): void {
    assert(offset >= 0 && bytes >= 0, `range ${offset}+${bytes} of sparse bytes`);
    const { pageBytes } = this;
    for (let at = 0; at < bytes; ) {
      const index = Math.floor((offset + at) / pageBytes);
      const from = offset + at - index * pageBytes;
      const part = Math.min(bytes - at, pageBytes - from);
      visit(index, from, at, part);
      at += part;
    }
  }

  private writablePage(index: number): Uint8Array {
    const page = this.pages.get(index);
    if (page && (!this.owned || this.owned.has(index))) return page;
    const fresh = page ? page.slice() : new Uint8Array(this.pageBytes);
    if (!page) this.order = undefined;
    this.pages.set(index, fresh);
    this.owned?.add(index);
    return fresh;
  }

  private clearInPage(index: number, from: number, bytes: number): void {
    if (!this.pages.has(index)) return;
    if (bytes < this.pageBytes) {
      this.writablePage(index).fill(0, from, from + bytes);
      return;
    }
    this.pages.delete(index);
    this.owned?.delete(index);
    this.order = undefined;
  }

  private firstPageAfter(index: number): number | undefined {
    this.order ??= [...this.pages.keys()].sort((a, b) => a - b);
    let low = 0;
    let high = this.order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.order[middle]! <= index)
        low = middle + 1; // low ≤ middle < high
      else high = middle;
    }
    return this.order[low];
  }
}
