/**
 * Looking things up in a bitmap.
 *
 * Nothing is kept between two calls, so whoever walks a bitmap with these steps may set and clear bits on the way,
 * ahead of him and behind. Clean stretches are skipped by whole levels; dirty ones are scanned word by word.
 *
 * Ranges are bytes and are clipped to the bitmap's size. Offsets found are never before the start of the range.
 */
import { setResult } from '../abi';
import {
  ALL,
  bitCount,
  CLEAR_PAGE,
  clippedEnd,
  dirtyCount,
  entryOf,
  granularityBits,
  PAGE_BYTES,
  PAGE_SHIFT,
  pageAt,
  SET_PAGE,
  wordAddress,
} from './layout';
import { NONE, nextDirtyPage } from './levels';

/** Dirty bytes, in whole granules. */
export function bitmap_count(bitmap: usize): f64 {
  return <f64>(dirtyCount(bitmap) << granularityBits(bitmap));
}

/** Whether the granule at `offset` is dirty. */
export function bitmap_get(bitmap: usize, offset: f64): bool {
  const bit: u64 = (<u64>(<i64>offset)) >> granularityBits(bitmap);
  if (bit >= bitCount(bitmap)) return false;
  return ((load<u64>(wordAddress(bitmap, bit >> 6)) >> (bit & 63)) & 1) != 0;
}

/** Offset of the first dirty byte in the range, or -1. */
export function bitmap_next_dirty(bitmap: usize, offset: f64, bytes: f64): f64 {
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return -1;
  const bit = nextSet(bitmap, start >> shift);
  if (bit == NONE || bit << shift >= end) return -1;
  return <f64>(<i64>max<u64>(bit << shift, start));
}

/** Offset of the first clean byte in the range, or -1. */
export function bitmap_next_zero(bitmap: usize, offset: f64, bytes: f64): f64 {
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return -1;
  const limit = ((end - 1) >> shift) + 1;
  const bit = nextClear(bitmap, start >> shift, limit);
  if (bit == limit) return -1;
  return <f64>(<i64>max<u64>(bit << shift, start));
}

/**
 * The first dirty stretch in [start, end): its offset, or -1; record 0 is its length, at most `maxBytes`, which cuts it
 * off at any byte.
 */
export function bitmap_next_dirty_area(bitmap: usize, start: f64, end: f64, maxBytes: f64): f64 {
  const shift = granularityBits(bitmap);
  const from: u64 = <u64>(<i64>start);
  const to: u64 = clippedEnd(bitmap, end);
  if (from >= to) return -1;
  const bit = nextSet(bitmap, from >> shift);
  if (bit == NONE || bit << shift >= to) return -1;
  const first = max<u64>(bit << shift, from);
  const stop = min<u64>(to, first + <u64>(<i64>maxBytes));
  const clean = nextClear(bitmap, bit, ((stop - 1) >> shift) + 1);
  setResult(0, <f64>(<i64>(min<u64>(clean << shift, stop) - first)));
  return <f64>(<i64>first);
}

/**
 * The first dirty stretches in [start, end), as many as `capacity`: pairs of offset and length as f64 at `out`. Returns
 * how many there are; fewer than `capacity` means all. For walks: per
 * stretch this takes a third of what bitmap_next_dirty_area does.
 */
export function bitmap_dirty_areas(bitmap: usize, start: f64, end: f64, out: usize, capacity: u32): u32 {
  const shift = granularityBits(bitmap);
  const from: u64 = <u64>(<i64>start);
  const to: u64 = clippedEnd(bitmap, end);
  if (from >= to) return 0;
  const limit = ((to - 1) >> shift) + 1;
  let bit = from >> shift;
  let index = bit >> 6;
  // Bits of the current word that are still ahead.
  let rest = load<u64>(wordAddress(bitmap, index)) & (ALL << (bit & 63));
  let found: u32 = 0;
  while (found < capacity) {
    if (rest == 0) {
      bit = nextSet(bitmap, (index + 1) << 6);
      if (bit >= limit) break;
      index = bit >> 6;
      rest = load<u64>(wordAddress(bitmap, index));
    }
    bit = (index << 6) + ctz<u64>(rest);
    if (bit >= limit) break;
    const first = max<u64>(bit << shift, from);
    // Adding its lowest bit turns the lowest stretch of ones into zeros and the zero behind it into a one.
    const carried = rest + (rest & (0 - rest));
    if (carried != 0) {
      bit = (index << 6) + ctz<u64>(carried);
      rest &= carried;
    } else {
      bit = nextClear(bitmap, (index + 1) << 6, limit);
      index = bit >> 6;
      rest = bit < limit ? load<u64>(wordAddress(bitmap, index)) & (ALL << (bit & 63)) : 0;
    }
    store<f64>(out, <f64>(<i64>first));
    store<f64>(out, <f64>(<i64>(min<u64>(bit << shift, to) - first)), 8);
    out += 16;
    found++;
  }
  return found;
}

/** How many bytes from `offset` on, at most `bytes`, are alike: that number if dirty, its negative if clean. */
export function bitmap_status(bitmap: usize, offset: f64, bytes: f64): f64 {
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return 0;
  const bit = nextSet(bitmap, start >> shift);
  const dirty: u64 = bit == NONE ? end : min<u64>(end, bit << shift);
  if (dirty > start) return -(<f64>(<i64>(dirty - start)));
  const clean = nextClear(bitmap, bit, ((end - 1) >> shift) + 1);
  return <f64>(<i64>(min<u64>(clean << shift, end) - start));
}

/** The first set bit at or after `from`, or NONE. */
export function nextSet(bitmap: usize, from: u64): u64 {
  if (from >= bitCount(bitmap)) return NONE;
  let page = from >> PAGE_SHIFT;
  let at = wordAddress(bitmap, from >> 6);
  const word = load<u64>(at) >> (from & 63);
  if (word != 0) return from + ctz<u64>(word);
  let start = pageAt(entryOf(bitmap, page));
  // The clear page is not worth looking through.
  at = start == CLEAR_PAGE ? 0 : nonZeroWord(at + 8, start + PAGE_BYTES);
  if (at == 0) {
    page = nextDirtyPage(bitmap, page + 1);
    if (page == NONE) return NONE;
    start = pageAt(entryOf(bitmap, page));
    at = nonZeroWord(start, start + PAGE_BYTES);
  }
  return (page << PAGE_SHIFT) + ((<u64>(at - start)) << 3) + ctz<u64>(load<u64>(at));
}

/** Address of the first word in [at, end) that is not zero, or 0. */
function nonZeroWord(at: usize, end: usize): usize {
  while (at + 32 <= end) {
    if (v128.any_true(v128.or(v128.load(at), v128.load(at, 16)))) break;
    at += 32;
  }
  for (; at < end; at += 8) if (load<u64>(at) != 0) return at;
  return 0;
}

/** The first clear bit in [from, end), or `end`. */
export function nextClear(bitmap: usize, from: u64, end: u64): u64 {
  if (from >= end) return end;
  let at = wordAddress(bitmap, from >> 6);
  const word = ~load<u64>(at) >> (from & 63);
  if (word != 0) return min<u64>(end, from + ctz<u64>(word));
  let page = from >> PAGE_SHIFT;
  let start = pageAt(entryOf(bitmap, page));
  at = start == SET_PAGE ? 0 : notFullWord(at + 8, start + PAGE_BYTES);
  if (at == 0) {
    const endPage = ((end - 1) >> PAGE_SHIFT) + 1;
    do {
      if (++page == endPage) return end;
      start = pageAt(entryOf(bitmap, page));
    } while (start == SET_PAGE);
    // One that is not all set.
    at = notFullWord(start, start + PAGE_BYTES);
  }
  return min<u64>(end, (page << PAGE_SHIFT) + ((<u64>(at - start)) << 3) + ctz<u64>(~load<u64>(at)));
}

/** Address of the first word in [at, end) that is not all ones, or 0. */
function notFullWord(at: usize, end: usize): usize {
  const ones = v128.splat<i64>(-1);
  while (at + 32 <= end) {
    if (v128.any_true(v128.xor(v128.and(v128.load(at), v128.load(at, 16)), ones))) break;
    at += 32;
  }
  for (; at < end; at += 8) if (~load<u64>(at) != 0) return at;
  return 0;
}
