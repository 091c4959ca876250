/**
 * A bitmap in the arena that takes memory as it fills: where its parts are. Its handle is the address of its header.
 *
 * | header offset | type      | field                                                                        |
 * | ------------- | --------- | ---------------------------------------------------------------------------- |
 * | 0             | u64       | size: bytes that the bitmap is about                                         |
 * | 8             | u64       | bits: granules in use, size / granularity rounded up                         |
 * | 16            | u64       | dirty: how many of them are set                                              |
 * | 24            | u32       | granularity bits                                                             |
 * | 28            | u32       | level count                                                                  |
 * | 32            | u32       | address of the directory                                                     |
 * | 36            | u32       | pages in the directory                                                       |
 * | 40            | u32       | a page that is not in use, 0: none. Its first word is the next one's address |
 * | 48 + 8 i      | u32 × 2   | address and length in words of level i, level 0 having a bit per page        |
 *
 * A page has PAGE_WORDS words with a bit per granule. Pages that are all clear, and those all set, are the same two for
 * every bitmap of an instance: nobody writes to those. The directory has two u32 for each page: where it is, counted from
 * CLEAR_PAGE on so that zeroed memory is a clear bitmap, and how many of its bits are set.
 *
 * Always, between two calls: bits from `bits` on are zero; a page is the clear one iff none of its bits is set, and
 * the set one iff all are; a bit of level 0 is set iff its page is not the clear one; a bit of level i + 1 is set iff
 * the word of level i with that number is not zero; the top level is one word; `dirty` is the number of set bits.
 */
import { ERROR_INVALID } from '../abi';
import { allocate } from '../memory';

const HEADER_BYTES: usize = 80;
/** 64^4 pages are more than a memory can hold. */
const MAX_LEVELS: u32 = 4;

export const WORD_BITS: u64 = 64;
export const ALL: u64 = 0xffff_ffff_ffff_ffff;

/** Bits of a page, as an exponent. Smaller ones make a longer directory, larger ones let scattered bits take more. */
export const PAGE_SHIFT: u64 = 13;
export const PAGE_BITS: u64 = 1 << PAGE_SHIFT;
export const PAGE_WORDS: u64 = PAGE_BITS / WORD_BITS;
export const PAGE_BYTES: usize = <usize>PAGE_WORDS * 8;

/** Two pages of PAGE_BYTES, next to each other. */
export const CLEAR_PAGE: usize = memory.data(2048, 16);
export const SET_PAGE: usize = CLEAR_PAGE + PAGE_BYTES;

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
export function pageCount(bitmap: usize): u64 {
  return load<u32>(bitmap, 36);
}

// @ts-ignore: decorator
@inline
export function levelWords(bitmap: usize, level: u32): u32 {
  return load<u32>(bitmap + (level << 3), 52);
}

/** Address of a word of a level. */
// @ts-ignore: decorator
@inline
export function levelWord(bitmap: usize, level: u32, index: u64): usize {
  return load<u32>(bitmap + (level << 3), 48) + ((<u32>index) << 3);
}

/** Address of a page's entry in the directory. */
// @ts-ignore: decorator
@inline
export function entryOf(bitmap: usize, page: u64): usize {
  return load<u32>(bitmap, 32) + ((<u32>page) << 3);
}

/** Address of the page that an entry is about. */
// @ts-ignore: decorator
@inline
export function pageAt(entry: usize): usize {
  return CLEAR_PAGE + load<u32>(entry);
}

/** How many of its bits are set. */
// @ts-ignore: decorator
@inline
export function pageDirty(entry: usize): u64 {
  return load<u32>(entry, 4);
}

// @ts-ignore: decorator
@inline
export function setPageDirty(entry: usize, dirty: u64): void {
  store<u32>(entry, <u32>dirty, 4);
}

/** Address of the word with 64 granules' bits, for reading. */
// @ts-ignore: decorator
@inline
export function wordAddress(bitmap: usize, index: u64): usize {
  return pageAt(entryOf(bitmap, index / PAGE_WORDS)) + ((<usize>(index % PAGE_WORDS)) << 3);
}

// @ts-ignore: decorator
@inline
export function isShared(page: usize): bool {
  return page <= SET_PAGE;
}

/** Takes a copy of the entry's page, which is shared, in its place: to be written to. The caller sees to the invariants. */
export function makeOwn(bitmap: usize, entry: usize): usize {
  let own: usize = load<u32>(bitmap, 40);
  if (own != 0) store<u32>(bitmap, load<u32>(own), 40);
  else own = allocate(PAGE_BYTES, 16);
  memory.copy(own, pageAt(entry), PAGE_BYTES);
  store<u32>(entry, own - CLEAR_PAGE);
  return own;
}

/** The entry's page becomes the one at `shared`; what it was is free for the next. */
export function sharePage(bitmap: usize, entry: usize, shared: usize): void {
  const page = pageAt(entry);
  store<u32>(entry, shared - CLEAR_PAGE);
  setPageDirty(entry, shared == CLEAR_PAGE ? 0 : PAGE_BITS);
  if (isShared(page)) return;
  store<u32>(page, load<u32>(bitmap, 40));
  store<u32>(bitmap, page, 40);
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
  memory.fill(SET_PAGE, 0xff, PAGE_BYTES);
  const bitmap = allocate(HEADER_BYTES, 16);
  store<u32>(bitmap, granularityBits, 24);
  setSize(bitmap, <u64>capacity);
  let words: u64 = max<u64>(1, (bitCount(bitmap) + PAGE_BITS - 1) >> PAGE_SHIFT);
  if (words >> 22) unreachable();
  store<u32>(bitmap, <u32>allocate((<usize>words) << 3, 16), 32);
  store<u32>(bitmap, <u32>words, 36);
  let level: u32 = 0;
  do {
    words = (words + WORD_BITS - 1) / WORD_BITS;
    store<u32>(bitmap + (level << 3), <u32>allocate((<usize>words) << 3, 16), 48);
    store<u32>(bitmap + (level << 3), <u32>words, 52);
    level++;
  } while (words > 1 && level < MAX_LEVELS);
  store<u32>(bitmap, level, 28);
  setSize(bitmap, <u64>size);
  return <i32>bitmap;
}
