/**
 * Bringing the words of another bitmap, or of a file, into a hierarchical bitmap.
 *
 * Words are little-endian 64-bit, bit i being granule i of the part, as qcow2 stores them. Bits past the end of the
 * bitmap are dropped.
 */
import { ERROR_INVALID, OK } from '../abi';
import { lower, raise, resetBits } from './change';
import { ALL, addDirty, bitCount, granularityBits, levelCount, wordAddress, WORD_BITS } from './layout';

/** Makes the part at `offset`, a multiple of 64 granules, equal to the `wordCount` words at `source`. */
export function bitmap_write_words(bitmap: usize, offset: f64, source: usize, wordCount: u32): i32 {
  return combine(bitmap, offset, source, wordCount, 0);
}

/** Adds the bits set in the `wordCount` words at `source` to the part at `offset`, a multiple of 64 granules. */
export function bitmap_merge_words(bitmap: usize, offset: f64, source: usize, wordCount: u32): i32 {
  return combine(bitmap, offset, source, wordCount, ALL);
}

/** `keep`: which old bits stay. Goes by the words of level 1, each of which stands for 64 words of level 0. */
function combine(bitmap: usize, offset: f64, source: usize, wordCount: u32, keep: u64): i32 {
  const bits = bitCount(bitmap);
  const first: u64 = (<u64>(<i64>offset)) >> granularityBits(bitmap);
  if ((first & (WORD_BITS - 1)) != 0) return ERROR_INVALID;
  const firstWord = first >> 6;
  const end = min<u64>(firstWord + wordCount, (bits + WORD_BITS - 1) >> 6);
  let from = firstWord;
  while (from < end) {
    const stop = min<u64>(end, (from | 63) + 1);
    const nonZero = combineGroup(bitmap, from, stop, source + ((<usize>(from - firstWord)) << 3), keep);
    if (levelCount(bitmap) > 1) summarize(bitmap, from, stop, nonZero);
    from = stop;
  }
  if (end << 6 > bits) dropPast(bitmap, bits);
  return OK;
}

/** Up to 64 words of level 0, all under one word of level 1. Returns that word's bits for them. */
function combineGroup(bitmap: usize, from: u64, stop: u64, source: usize, keep: u64): u64 {
  let at = wordAddress(bitmap, 0, from);
  const end = wordAddress(bitmap, 0, stop);
  let nonZero: u64 = 0;
  let bit: u64 = (<u64>1) << (from & 63);
  let change: u64 = 0;
  for (; at < end; at += 8) {
    const old = load<u64>(at);
    const fresh = (old & keep) | load<u64>(source);
    store<u64>(at, fresh);
    change += popcnt<u64>(fresh) - popcnt<u64>(old);
    nonZero |= select<u64>(bit, 0, fresh != 0);
    bit <<= 1;
    source += 8;
  }
  addDirty(bitmap, change);
  return nonZero;
}

/** Brings level 1 and those above up to date about the words [from, stop) of level 0. */
function summarize(bitmap: usize, from: u64, stop: u64, nonZero: u64): void {
  const group = from >> 6;
  const at = wordAddress(bitmap, 1, group);
  const covered = (ALL << (from & 63)) & (ALL >> (63 - ((stop - 1) & 63)));
  const old = load<u64>(at);
  const fresh = (old & ~covered) | nonZero;
  store<u64>(at, fresh);
  if ((old == 0) == (fresh == 0)) return;
  if (fresh != 0) raise(bitmap, 2, group, group);
  else lower(bitmap, 2, group, group);
}

/** Clears what the last word holds past `bits`. */
function dropPast(bitmap: usize, bits: u64): void {
  resetBits(bitmap, bits, bits | (WORD_BITS - 1));
}
