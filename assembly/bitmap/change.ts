/**
 * Setting and clearing ranges of a bitmap.
 *
 * Ranges are bytes and are clipped to the bitmap's size. A set widens to whole granules, for a granule touched is dirty;
 * a reset narrows to whole granules, for what is left of a granule may be dirty still. The last granule is whole when
 * the range reaches the end.
 */
import { ERROR_NO_SPACE, OK } from '../abi';
import { lower, raise } from './levels';
import {
  ALL,
  addDirty,
  bitCount,
  CLEAR_PAGE,
  clippedEnd,
  entryOf,
  granularityBits,
  isShared,
  makeOwn,
  PAGE_BITS,
  PAGE_SHIFT,
  pageAt,
  pageCount,
  pageDirty,
  SET_PAGE,
  setPageDirty,
  setSize,
  sharePage,
  sizeOf,
} from './layout';

/** Marks the range dirty. */
export function bitmap_set(bitmap: usize, offset: f64, bytes: f64): void {
  // Negative offsets turn into huge ones, which are past every end.
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return;
  fillBits(bitmap, start >> granularityBits(bitmap), (end - 1) >> granularityBits(bitmap), ALL);
}

/** Marks the whole granules in the range clean. */
export function bitmap_reset(bitmap: usize, offset: f64, bytes: f64): void {
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = <u64>(<i64>(offset + bytes));
  const first: u64 = (start + (((<u64>1) << shift) - 1)) >> shift;
  const limit: u64 = end >= sizeOf(bitmap) ? bitCount(bitmap) : end >> shift;
  if (start < end && first < limit) fillBits(bitmap, first, limit - 1, 0);
}

/** Marks everything clean. */
export function bitmap_clear(bitmap: usize): void {
  if (bitCount(bitmap) > 0) fillBits(bitmap, 0, bitCount(bitmap) - 1, 0);
}

/** The bitmap is about `size` bytes from now on; what is new is clean. ERROR_NO_SPACE: more than its capacity. */
export function bitmap_resize(bitmap: usize, size: f64): i32 {
  const granule: u64 = (<u64>1) << granularityBits(bitmap);
  const bits: u64 = (<u64>size + granule - 1) >> granularityBits(bitmap);
  if (bits > pageCount(bitmap) << PAGE_SHIFT) return ERROR_NO_SPACE;
  if (bits < bitCount(bitmap)) fillBits(bitmap, bits, bitCount(bitmap) - 1, 0);
  setSize(bitmap, <u64>size);
  return OK;
}

/** Makes the bits from `first` up to `last`, included, those of `fill`, ALL or 0. */
export function fillBits(bitmap: usize, first: u64, last: u64, fill: u64): void {
  const firstPage = first >> PAGE_SHIFT;
  const lastPage = last >> PAGE_SHIFT;
  const from = first & (PAGE_BITS - 1);
  const to = last & (PAGE_BITS - 1);
  if (firstPage == lastPage) {
    fillPart(bitmap, firstPage, from, to, fill);
    return;
  }
  // The pages at the ends may be whole as well: what becomes uniform is shared by fillPart.
  fillPart(bitmap, firstPage, from, PAGE_BITS - 1, fill);
  fillPages(bitmap, firstPage + 1, lastPage, fill);
  fillPart(bitmap, lastPage, 0, to, fill);
}

/** As fillBits, of the pages in [first, end). */
function fillPages(bitmap: usize, first: u64, end: u64, fill: u64): void {
  if (first >= end) return;
  const shared = fill == 0 ? CLEAR_PAGE : SET_PAGE;
  let change: u64 = 0;
  for (let page = first; page < end; page++) {
    const entry = entryOf(bitmap, page);
    if (pageAt(entry) == shared) continue;
    change += (fill & PAGE_BITS) - pageDirty(entry);
    sharePage(bitmap, entry, shared);
  }
  if (change == 0) return;
  addDirty(bitmap, change);
  if (fill == 0) lower(bitmap, 0, first, end - 1);
  else raise(bitmap, 0, first, end - 1);
}

/** As fillBits, of the bits from `from` up to `to` of one page. */
function fillPart(bitmap: usize, page: u64, from: u64, to: u64, fill: u64): void {
  const entry = entryOf(bitmap, page);
  let own = pageAt(entry);
  if (own == (fill == 0 ? CLEAR_PAGE : SET_PAGE)) return;
  if (isShared(own)) own = makeOwn(bitmap, entry);
  let at = own + ((<usize>(from >> 6)) << 3);
  const end = own + ((<usize>(to >> 6)) << 3);
  let mask = ALL << (from & 63);
  let change: u64 = 0;
  for (; at < end; at += 8) {
    const old = load<u64>(at);
    const fresh = old ^ ((old ^ fill) & mask);
    store<u64>(at, fresh);
    change += popcnt<u64>(fresh) - popcnt<u64>(old);
    mask = ALL;
  }
  const old = load<u64>(at);
  const fresh = old ^ ((old ^ fill) & mask & (ALL >> (63 - (to & 63))));
  store<u64>(at, fresh);
  countIn(bitmap, page, entry, change + popcnt<u64>(fresh) - popcnt<u64>(old));
}

/** After `change` bits more are set in a page that is the bitmap's own: counts them. */
// @ts-ignore: decorator
@inline
export function countIn(bitmap: usize, page: u64, entry: usize, change: u64): void {
  const before = pageDirty(entry);
  const dirty = before + change;
  setPageDirty(entry, dirty);
  addDirty(bitmap, change);
  if (before == 0 || dirty == 0 || dirty == PAGE_BITS) settle(bitmap, page, entry, before);
}

/** Shares a page that became uniform, and brings the levels up to date when it was clear or is so now. */
function settle(bitmap: usize, page: u64, entry: usize, before: u64): void {
  const dirty = pageDirty(entry);
  if (dirty == 0) {
    sharePage(bitmap, entry, CLEAR_PAGE);
    if (before != 0) lower(bitmap, 0, page, page);
    return;
  }
  if (dirty == PAGE_BITS) sharePage(bitmap, entry, SET_PAGE);
  if (before == 0) raise(bitmap, 0, page, page);
}
