/** A set of clusters: 32 to a word, with the number of members kept. */

const allOnes = 0xffff_ffff;

export class ClusterBitmap {
  private readonly words: Uint32Array;
  private members = 0;

  constructor(readonly length: number) {
    this.words = new Uint32Array(Math.ceil(length / 32));
  }

  get count(): number {
    return this.members;
  }

  /** Adds the clusters from `first` up to `end`, not included. */
  set(first: number, end: number): void {
    this.change(first, end, (word, mask) => word | mask);
  }

  clear(first: number, end: number): void {
    this.change(first, end, (word, mask) => word & ~mask);
  }

  /** The first member in [from, end), or `end`. */
  next(from: number, end: number): number {
    return this.find(from, end, 0);
  }

  /** The first cluster in [from, end) that is no member, or `end`. */
  nextClear(from: number, end: number): number {
    return this.find(from, end, allOnes);
  }

  private find(from: number, end: number, flip: number): number {
    for (let at = from; at < end; at = (at & ~31) + 32) {
      const rest = ((this.words[at >>> 5]! ^ flip) >>> (at & 31)) >>> 0;
      if (rest !== 0) return Math.min(end, at + 31 - Math.clz32(rest & -rest));
    }
    return end;
  }

  private change(first: number, end: number, combine: (word: number, mask: number) => number): void {
    for (let at = first; at < end; at = (at & ~31) + 32) {
      const index = at >>> 5;
      const upTo = Math.min(end - (at & ~31), 32);
      const mask = ((allOnes << (at & 31)) & (upTo === 32 ? allOnes : (1 << upTo) - 1)) >>> 0;
      const before = this.words[index]!;
      const after = combine(before, mask) >>> 0;
      this.words[index] = after;
      this.members += bitsIn(after) - bitsIn(before);
    }
  }
}

function bitsIn(word: number): number {
  word -= (word >>> 1) & 0x5555_5555;
  word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
