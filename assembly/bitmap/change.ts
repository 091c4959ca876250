/**
 * Setting and clearing ranges of a hierarchical bitmap.
 *
 * Ranges are bytes and are clipped to the bitmap's size. A set widens to whole granules, for a granule touched is dirty;
 * a reset narrows to whole granules, for what is left of a granule may be dirty still. The last granule is whole when
 * the range reaches the end.
 */
import { ERROR_NO_SPACE, OK } from '../abi';
import {
  ALL,
  addDirty,
  bitCount,
  clippedEnd,
  dirtyCount,
  granularityBits,
  levelCount,
  levelWords,
  setSize,
  sizeOf,
  wordAddress,
  WORD_BITS,
} from './layout';

/** Marks the range dirty. */
export function bitmap_set(bitmap: usize, offset: f64, bytes: f64): void {
  // Negative offsets turn into huge ones, which are past every end.
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return;
  setBits(bitmap, start >> granularityBits(bitmap), (end - 1) >> granularityBits(bitmap));
}

/** Marks the whole granules in the range clean. */
export function bitmap_reset(bitmap: usize, offset: f64, bytes: f64): void {
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = <u64>(<i64>(offset + bytes));
  const first: u64 = (start + (((<u64>1) << shift) - 1)) >> shift;
  const limit: u64 = end >= sizeOf(bitmap) ? bitCount(bitmap) : end >> shift;
  if (start < end && first < limit) resetBits(bitmap, first, limit - 1);
}

/** Marks everything clean. */
export function bitmap_clear(bitmap: usize): void {
  const levels = levelCount(bitmap);
  for (let level: u32 = 0; level < levels; level++) {
    memory.fill(wordAddress(bitmap, level, 0), 0, levelWords(bitmap, level) << 3);
  }
  addDirty(bitmap, 0 - dirtyCount(bitmap));
}

/** The bitmap is about `size` bytes from now on; what is new is clean. ERROR_NO_SPACE: more than its capacity. */
export function bitmap_resize(bitmap: usize, size: f64): i32 {
  const granule: u64 = (<u64>1) << granularityBits(bitmap);
  const bits: u64 = (<u64>size + granule - 1) >> granularityBits(bitmap);
  if (bits > (<u64>levelWords(bitmap, 0)) << 6) return ERROR_NO_SPACE;
  if (bits < bitCount(bitmap)) resetBits(bitmap, bits, bitCount(bitmap) - 1);
  setSize(bitmap, <u64>size);
  return OK;
}

/** Sets the bits from `first` up to `last`, included. */
function setBits(bitmap: usize, first: u64, last: u64): void {
  const firstWord = first >> 6;
  const lastWord = last >> 6;
  let at = wordAddress(bitmap, 0, firstWord);
  const head = ALL << (first & 63);
  const tail = ALL >> (63 - (last & 63));
  if (firstWord == lastWord) {
    const old = load<u64>(at);
    const fresh = head & tail & ~old;
    if (fresh == 0) return;
    store<u64>(at, old | fresh);
    addDirty(bitmap, popcnt<u64>(fresh));
    if (old == 0) raise(bitmap, 1, firstWord, firstWord);
    return;
  }
  const end = at + ((<usize>(lastWord - firstWord)) << 3);
  let added: u64 = popcnt<u64>(head & ~load<u64>(at)) + popcnt<u64>(tail & ~load<u64>(end));
  store<u64>(at, load<u64>(at) | head);
  for (at += 8; at < end; at += 8) {
    added += WORD_BITS - popcnt<u64>(load<u64>(at));
    store<u64>(at, ALL);
  }
  store<u64>(end, load<u64>(end) | tail);
  addDirty(bitmap, added);
  raise(bitmap, 1, firstWord, lastWord);
}

/** Clears the bits from `first` up to `last`, included. */
export function resetBits(bitmap: usize, first: u64, last: u64): void {
  const firstWord = first >> 6;
  const lastWord = last >> 6;
  const end = wordAddress(bitmap, 0, lastWord);
  let removed: u64 = 0;
  for (let at = wordAddress(bitmap, 0, firstWord); at <= end; at += 8) removed += popcnt<u64>(load<u64>(at));
  if (removed == 0) return;
  // Only the two words at the ends may keep bits; these are counted back.
  lower(bitmap, 0, first, last);
  removed -= popcnt<u64>(load<u64>(wordAddress(bitmap, 0, firstWord)));
  if (lastWord != firstWord) removed -= popcnt<u64>(load<u64>(end));
  addDirty(bitmap, 0 - removed);
}

/** Sets bits of `level` and of those above, where words below them are not zero any more. */
export function raise(bitmap: usize, level: u32, first: u64, last: u64): void {
  const levels = levelCount(bitmap);
  for (; level < levels; level++) {
    const firstWord = first >> 6;
    const lastWord = last >> 6;
    let at = wordAddress(bitmap, level, firstWord);
    const head = ALL << (first & 63);
    const tail = ALL >> (63 - (last & 63));
    const old = load<u64>(at);
    if (firstWord == lastWord) {
      store<u64>(at, old | (head & tail));
      // Its own bit above is set already.
      if (old != 0) return;
    } else {
      const end = at + ((<usize>(lastWord - firstWord)) << 3);
      store<u64>(at, old | head);
      for (at += 8; at < end; at += 8) store<u64>(at, ALL);
      store<u64>(end, load<u64>(end) | tail);
    }
    first = firstWord;
    last = lastWord;
  }
}

/** Clears bits of `level` and those of the levels above whose words became zero by that. */
export function lower(bitmap: usize, level: u32, first: u64, last: u64): void {
  const levels = levelCount(bitmap);
  for (; level < levels; level++) {
    let firstWord = first >> 6;
    // One past the last word that became zero.
    let limit = (last >> 6) + 1;
    const at = wordAddress(bitmap, level, firstWord);
    const end = wordAddress(bitmap, level, limit - 1);
    const head = ALL << (first & 63);
    const tail = ALL >> (63 - (last & 63));
    if (at == end) {
      const rest = load<u64>(at) & ~(head & tail);
      store<u64>(at, rest);
      if (rest != 0) return;
    } else {
      const headRest = load<u64>(at) & ~head;
      const tailRest = load<u64>(end) & ~tail;
      memory.fill(at, 0, end - at);
      store<u64>(at, headRest);
      store<u64>(end, tailRest);
      if (headRest != 0) firstWord++;
      if (tailRest != 0) limit--;
      if (firstWord >= limit) return;
    }
    first = firstWord;
    last = limit - 1;
  }
}
