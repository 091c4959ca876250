/**
 * A dirty bitmap in the core: a set of granules of a disk, asked and changed in bytes.
 *
 * A set widens to whole granules, a reset narrows to them; both are clipped to the size. `count` is kept, lookups skip
 * clean stretches by levels, and no walk keeps state here: it may go on while bits change anywhere.
 * The one in its own instance grows by moving to a larger one; the one that is part of a larger state cannot grow.
 */
import { assert } from '../base/assert.ts';
import { BlockError } from '../base/errors.ts';
import { CoreInstance } from './instance.ts';
import { coreModule } from './module.ts';

export interface BitmapExports {
  bitmap_init(size: number, capacity: number, granularityBits: number): number;
  bitmap_set(bitmap: number, offset: number, bytes: number): void;
  bitmap_reset(bitmap: number, offset: number, bytes: number): void;
  bitmap_clear(bitmap: number): void;
  bitmap_resize(bitmap: number, size: number): number;
  bitmap_count(bitmap: number): number;
  bitmap_get(bitmap: number, offset: number): number;
  bitmap_next_dirty(bitmap: number, offset: number, bytes: number): number;
  bitmap_next_zero(bitmap: number, offset: number, bytes: number): number;
  bitmap_next_dirty_area(bitmap: number, start: number, end: number, maxBytes: number): number;
  bitmap_dirty_areas(bitmap: number, start: number, end: number, out: number, capacity: number): number;
  bitmap_status(bitmap: number, offset: number, bytes: number): number;
  bitmap_read_words(bitmap: number, from: number, end: number, out: number, capacity: number): number;
  bitmap_write_words(bitmap: number, offset: number, source: number, wordCount: number): number;
  bitmap_merge_words(bitmap: number, offset: number, source: number, wordCount: number): number;
}

/** A stretch of bytes. */
export interface Area {
  readonly offset: number;
  readonly bytes: number;
}

/**
 * A part of a bitmap, from one word of 64 bits to another: all clear, all set, or `words` in the form of `serialize`, which
 * the next step of the bitmap may overwrite.
 */
interface BitmapPart {
  /** Of its first byte in the serialized bitmap, and how many there are. */
  readonly at: number;
  readonly bytes: number;
  readonly content: 'clear' | 'set' | Uint8Array;
}

const wordBits = 64;
const wordBytes = 8;
/** Header and levels beside their words (assembly/bitmap/layout.ts). */
const headerBytes = 160;
/** Bits of a page, what it takes, and its entry in the directory. */
const pageBits = 8192;
const pageBytes = 1024;
const entryBytes = 8;
/** Words come into the instance and out of it in parts of at most this size. */
const partBytes = 65_536;

/** Codes of bitmap_read_words. */
const clearStretch = 0;
const setStretch = 1;

/** How many areas a walk asks for at once, and what they take: two f64 each. */
const lookAheadAreas = 256;
const lookAheadBytes = lookAheadAreas * 16;

/** Most granules: if every page is in use, they have to fit into one memory. */
export const maxBitmapGranules = 2 ** 34;

function wordsFor(size: number, granularity: number): number {
  return Math.max(1, Math.ceil(Math.ceil(size / granularity) / wordBits));
}

/**
 * What a bitmap takes in an instance: at first, which is its directory and the levels above it, and at most, with all of its
 * pages in use and the buffers through which words and areas travel. Errors: ENOMEM.
 */
export function bitmapMemoryBytes(size: number, granularity: number): { least: number; most: number } {
  if (size / granularity > maxBitmapGranules) throw new BlockError('ENOMEM');
  const pages = Math.max(1, Math.ceil(size / granularity / pageBits));
  // All levels together have little more than a bit for each page.
  const least = headerBytes + pages * entryBytes + Math.ceil(pages / 7);
  return { least, most: least + pages * pageBytes + partBytes + lookAheadBytes };
}

export class HierarchicalBitmap {
  /** Where in the instance words and areas travel through. */
  private transfer: { readonly address: number; readonly words: number } | undefined;
  private lookAhead: number | undefined;

  private constructor(
    private core: CoreInstance<BitmapExports>,
    private handle: number,
    private byteSize: number,
    /** Bytes per bit, a power of two. */
    readonly granularity: number,
    private readonly ownInstance: boolean,
  ) {}

  /** A clean bitmap in an instance of its own. Errors: ENOMEM. */
  static create(size: number, granularity: number): HierarchicalBitmap {
    const bits = granularityBitsOf(granularity);
    assert(size >= 0, `bitmap for ${size} bytes`);
    const { least, most } = bitmapMemoryBytes(size, granularity);
    const core = new CoreInstance<BitmapExports>(coreModule, least, most);
    const handle = core.guard(() => core.exports.bitmap_init(size, size, bits)) >>> 0;
    return new HierarchicalBitmap(core, handle, size, granularity, true);
  }

  /** The bitmap that another part of an instance made there. */
  static at(
    core: CoreInstance<BitmapExports>,
    handle: number,
    size: number,
    granularity: number,
  ): HierarchicalBitmap {
    return new HierarchicalBitmap(core, handle, size, granularity, false);
  }

  /** A bitmap like this, in an instance of its own. Errors: ENOMEM. */
  copy(): HierarchicalBitmap {
    const copy = HierarchicalBitmap.create(this.byteSize, this.granularity);
    copy.takeParts(this);
    return copy;
  }

  /** Length of what `serialize` gives of all of it. */
  get serializedBytes(): number {
    return wordsFor(this.byteSize, this.granularity) * wordBytes;
  }

  /** Bytes that the bitmap is about. */
  get size(): number {
    return this.byteSize;
  }

  /** Dirty bytes in whole granules: may exceed the size. */
  get count(): number {
    this.core.check();
    try {
      return this.core.exports.bitmap_count(this.handle);
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  set(offset: number, bytes: number): void {
    this.core.check();
    try {
      this.core.exports.bitmap_set(this.handle, offset, bytes);
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  setAll(): void {
    this.set(0, this.byteSize);
  }

  /** Cleans the granules that lie in the range as a whole; the last one does when the range reaches the end. */
  reset(offset: number, bytes: number): void {
    this.core.check();
    try {
      this.core.exports.bitmap_reset(this.handle, offset, bytes);
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  clear(): void {
    this.core.guard(() => this.core.exports.bitmap_clear(this.handle));
  }

  /** Whether the byte at `offset` is in a dirty granule. */
  get(offset: number): boolean {
    this.core.check();
    try {
      return this.core.exports.bitmap_get(this.handle, offset) !== 0;
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  /** The first dirty byte in the range, or -1. */
  nextDirty(offset: number, bytes: number): number {
    this.core.check();
    try {
      return this.core.exports.bitmap_next_dirty(this.handle, offset, bytes);
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  /** The first clean byte in the range, or -1. */
  nextZero(offset: number, bytes: number): number {
    this.core.check();
    try {
      return this.core.exports.bitmap_next_zero(this.handle, offset, bytes);
    } catch (error) {
      throw this.core.poison(error);
    }
  }

  /** The first dirty stretch in [start, end), cut off after `maxBytes`. */
  nextDirtyArea(start: number, end: number, maxBytes: number): Area | undefined {
    const { core } = this;
    core.check();
    try {
      const offset = core.exports.bitmap_next_dirty_area(this.handle, start, end, maxBytes);
      return offset < 0 ? undefined : { offset, bytes: core.record[0] };
    } catch (error) {
      throw core.poison(error);
    }
  }

  /** How many bytes from `offset` on, at most `bytes`, are all dirty or all clean. None past the end. */
  status(offset: number, bytes: number): { dirty: boolean; bytes: number } {
    const run = this.core.guard(() => this.core.exports.bitmap_status(this.handle, offset, bytes));
    return { dirty: run > 0, bytes: Math.abs(run) };
  }

  /** Walks the dirty stretches in [start, end) in order: the quickest way to see all of them. */
  walk(start = 0, end: number = this.byteSize): DirtyAreaWalk {
    return new DirtyAreaWalk(this, start, end);
  }

  /** For walks: the first stretches in [start, end), pairs of offset and length, into `areas`. Returns how many. */
  readAreas(start: number, end: number, areas: Float64Array): number {
    const { core } = this;
    this.lookAhead ??= core.allocate(lookAheadBytes).address;
    const address = this.lookAhead;
    const found = core.guard(() =>
      core.exports.bitmap_dirty_areas(this.handle, start, end, address, lookAheadAreas),
    );
    areas.set(new Float64Array(core.memory.buffer, address, areas.length));
    return found;
  }

  /** Adds what `source`, about as many bytes, has dirty; each of its granules dirties all of ours that it touches. */
  merge(source: HierarchicalBitmap): void {
    assert(source.size === this.size, `merge of bitmaps about ${source.size} and ${this.size} bytes`);
    if (source.granularity === this.granularity) this.takeParts(source);
    else for (const walk = source.walk(); walk.next(); ) this.set(walk.offset, walk.bytes);
  }

  /**
   * The bits of the range, as `serialize` has them, in parts: of at most 64 KiB where they are mixed, of any length where
   * they are alike. What changes while this goes on is seen or not.
   */
  *parts(offset = 0, bytes: number = this.byteSize - offset): Generator<BitmapPart, void> {
    const { core } = this;
    const { exports } = core;
    const first = this.wordAt(offset);
    const end = this.endWord(offset, bytes);
    for (let word = first; word < end; ) {
      const { address, words: capacity } = this.transferBuffer();
      const code = core.guard(() => exports.bitmap_read_words(this.handle, word, end, address, capacity));
      assert(code >= 0, `bitmap_read_words answered ${code}`);
      const length = core.record[0] * wordBytes;
      const words = core.memory.subarray(address, address + length);
      const content = code === clearStretch ? 'clear' : code === setStretch ? 'set' : words;
      yield { at: (word - first) * wordBytes, bytes: length, content };
      word += length / wordBytes;
    }
  }

  /**
   * The bits for the range as little-endian 64-bit words, bit i being granule i of the range; a copy. `offset` and, but
   * at the end, `bytes` are multiples of 64 granules.
   */
  serialize(offset = 0, bytes: number = this.byteSize - offset): Uint8Array {
    const words = new Uint8Array((this.endWord(offset, bytes) - this.wordAt(offset)) * wordBytes);
    for (const { at, bytes: length, content } of this.parts(offset, bytes)) {
      if (content === 'set') words.fill(0xff, at, at + length);
      else if (content !== 'clear') words.set(content, at);
    }
    return words;
  }

  /** Makes the bits from `offset`, a multiple of 64 granules, on equal to `words`, in the form of `serialize`. */
  deserialize(words: Uint8Array, offset = 0): void {
    assert(words.length % wordBytes === 0, `${words.length} bytes are not words of a bitmap`);
    this.takeWords(words, offset, 'bitmap_write_words');
  }

  /** The bitmap is about `size` bytes from now on; what is new is clean. Errors: ENOMEM. */
  resize(size: number): void {
    const code = this.core.guard(() => this.core.exports.bitmap_resize(this.handle, size));
    if (code === 0) {
      this.byteSize = size;
      return;
    }
    assert(this.ownInstance, 'a bitmap inside another state cannot grow');
    const larger = HierarchicalBitmap.create(size, this.granularity);
    larger.takeParts(this);
    this.core = larger.core;
    this.handle = larger.handle;
    this.transfer = larger.transfer;
    this.lookAhead = undefined;
    this.byteSize = size;
  }

  /** Adds what `source`, of the same granularity and about no more bytes, has dirty. */
  private takeParts(source: HierarchicalBitmap): void {
    const bytesPerByte = 8 * this.granularity;
    for (const { at, bytes, content } of source.parts()) {
      if (content === 'set') this.set(at * bytesPerByte, bytes * bytesPerByte);
      else if (content !== 'clear') this.takeWords(content, at * bytesPerByte, 'bitmap_merge_words');
    }
  }

  private takeWords(
    words: Uint8Array,
    offset: number,
    step: 'bitmap_write_words' | 'bitmap_merge_words',
  ): void {
    const { core } = this;
    this.wordAt(offset);
    const { address, words: capacity } = this.transferBuffer();
    const granulesPerByte = 8;
    for (let at = 0; at < words.length; at += capacity * wordBytes) {
      const part = words.subarray(at, at + capacity * wordBytes);
      core.memory.set(part, address);
      const partOffset = offset + at * granulesPerByte * this.granularity;
      const code = core.guard(() =>
        core.exports[step](this.handle, partOffset, address, part.length / wordBytes),
      );
      assert(code === 0, `words of a bitmap at ${partOffset}`);
    }
  }

  private transferBuffer(): { address: number; words: number } {
    const words = Math.min(partBytes / wordBytes, wordsFor(this.byteSize, this.granularity));
    this.transfer ??= { address: this.core.allocate(words * wordBytes).address, words };
    return this.transfer;
  }

  /** One past the last word for the range. */
  private endWord(offset: number, bytes: number): number {
    const isToEnd = offset + bytes >= this.byteSize;
    return isToEnd ? wordsFor(this.byteSize, this.granularity) : this.wordAt(offset + bytes);
  }

  private wordAt(offset: number): number {
    const word = offset / this.granularity / wordBits;
    assert(Number.isInteger(word), `part of a bitmap at ${offset} does not start at a word`);
    return word;
  }
}

/**
 * A walk over dirty stretches. It looks a few of them ahead: changes there while it goes on may or may not be seen. To
 * be sure, ask `nextDirtyArea` again and again.
 */
class DirtyAreaWalk {
  private readonly areas = new Float64Array(2 * lookAheadAreas);
  /** The stretch gone to; before the first, and to make `next` look: past all at hand. */
  private at = 2 * lookAheadAreas;
  /** Stretches at hand; fewer than looked for: there are no more behind them. */
  private found = lookAheadAreas;

  constructor(
    private readonly bitmap: HierarchicalBitmap,
    private start: number,
    private readonly end: number,
  ) {}

  /** Goes to the next stretch; false: there is none. */
  next(): boolean {
    this.at += 2;
    if (this.at < 2 * this.found) return true;
    return this.found === lookAheadAreas && this.refill();
  }

  /** Where the stretch that `next` went to starts. */
  get offset(): number {
    return this.areas[this.at]!; // pairs of offset and bytes, of which `next` has found one
  }

  get bytes(): number {
    return this.areas[this.at + 1]!; // its other half
  }

  private refill(): boolean {
    this.found = this.bitmap.readAreas(this.start, this.end, this.areas);
    // The last pair that was found.
    if (this.found > 0) this.start = this.areas[2 * this.found - 2]! + this.areas[2 * this.found - 1]!;
    this.at = 0;
    return this.found > 0;
  }
}

/** The exponent of a granularity, which is a power of two. */
export function granularityBitsOf(granularity: number): number {
  const bits = Math.log2(granularity);
  assert(Number.isInteger(bits) && bits >= 0, `granularity ${granularity} is not a power of two`);
  return bits;
}
