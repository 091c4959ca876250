/**
 * A hierarchical bitmap in the arena: where its parts are. A bitmap's handle is the address of its header.
 *
 * | header offset | type      | field                                                                   |
 * | ------------- | --------- | ----------------------------------------------------------------------- |
 * | 0             | u64       | size: bytes that the bitmap is about                                    |
 * | 8             | u64       | bits: granules in use, size / granularity rounded up                    |
 * | 16            | u64       | dirty: how many of them are set                                         |
 * | 24            | u32       | granularity bits                                                        |
 * | 28            | u32       | level count                                                             |
 * | 32 + 8 i      | u32 × 2   | address and length in words of level i, level 0 having a bit per granule |
 *
 * Always, between two calls: bits of level 0 from `bits` on are zero; a bit of level i + 1 is set iff the word of level
 * i with that number is not zero; the top level is one word; `dirty` is the number of set bits in level 0.
 */
import { ERROR_INVALID } from '../abi';
import { allocate } from '../memory';

const HEADER_BYTES: usize = 96;
/** 64^6 bits are more than a memory can hold. */
const MAX_LEVELS: u32 = 6;

export const WORD_BITS: u64 = 64;
export const ALL: u64 = 0xffff_ffff_ffff_ffff;

// @ts-ignore: decorator
@inline
export function sizeOf(bitmap: usize): u64 {
  return load<u64>(bitmap);
}

/** Where a range ends that is clipped to the bitmap's size. What is negative is past every end. */
// @ts-ignore: decorator
@inline
export function clippedEnd(bitmap: usize, end: f64): u64 {
  return min<u64>(<u64>(<i64>end), sizeOf(bitmap));
}

// @ts-ignore: decorator
@inline
export function bitCount(bitmap: usize): u64 {
  return load<u64>(bitmap, 8);
}

// @ts-ignore: decorator
@inline
export function dirtyCount(bitmap: usize): u64 {
  return load<u64>(bitmap, 16);
}

// @ts-ignore: decorator
@inline
export function addDirty(bitmap: usize, change: u64): void {
  store<u64>(bitmap, load<u64>(bitmap, 16) + change, 16);
}

// @ts-ignore: decorator
@inline
export function granularityBits(bitmap: usize): u64 {
  return load<u32>(bitmap, 24);
}

// @ts-ignore: decorator
@inline
export function levelCount(bitmap: usize): u32 {
  return load<u32>(bitmap, 28);
}

// @ts-ignore: decorator
@inline
export function levelWords(bitmap: usize, level: u32): u32 {
  return load<u32>(bitmap + (level << 3), 36);
}

/** Address of a word of a level. */
// @ts-ignore: decorator
@inline
export function wordAddress(bitmap: usize, level: u32, index: u64): usize {
  return load<u32>(bitmap + (level << 3), 32) + ((<u32>index) << 3);
}

/** Records what the bitmap is about; the caller sees to the bits. */
export function setSize(bitmap: usize, size: u64): void {
  const granule: u64 = (<u64>1) << granularityBits(bitmap);
  store<u64>(bitmap, size);
  store<u64>(bitmap, (size + granule - 1) >> granularityBits(bitmap), 8);
}

/**
 * Makes a clean bitmap and returns its handle. It is about `size` bytes now and at most `capacity` bytes ever, `size`
 * included; the two are below 2^53. Traps when the arena is too small.
 */
export function bitmap_init(size: f64, capacity: f64, granularityBits: u32): i32 {
  if (!(size >= 0 && capacity >= size) || granularityBits > 52) return ERROR_INVALID;
  const bitmap = allocate(HEADER_BYTES, 16);
  store<u32>(bitmap, granularityBits, 24);
  setSize(bitmap, <u64>capacity);
  let words: u64 = max<u64>(1, (bitCount(bitmap) + WORD_BITS - 1) / WORD_BITS);
  if (words >> 29) unreachable();
  let level: u32 = 0;
  for (;;) {
    store<u32>(bitmap + (level << 3), <u32>allocate((<usize>words) << 3, 16), 32);
    store<u32>(bitmap + (level << 3), <u32>words, 36);
    level++;
    if (words == 1 || level == MAX_LEVELS) break;
    words = (words + WORD_BITS - 1) / WORD_BITS;
  }
  store<u32>(bitmap, level, 28);
  setSize(bitmap, <u64>size);
  return <i32>bitmap;
}

/** Address of the words of level 0: bit i of the little-endian 64-bit words is granule i. For reading only. */
export function bitmap_words(bitmap: usize): usize {
  return wordAddress(bitmap, 0, 0);
}
