/**
 * Bringing the words of another bitmap, or of a file, into a bitmap, and its own words out of it.
 *
 * Words are little-endian 64-bit, bit i being granule i of the part, as qcow2 stores them. Bits past the end of the
 * bitmap are dropped.
 */
import { ERROR_INVALID, OK, setResult } from '../abi';
import { countIn, fillBits } from './change';
import { nextClear, nextSet } from './find';
import {
  ALL,
  bitCount,
  entryOf,
  granularityBits,
  isShared,
  makeOwn,
  PAGE_WORDS,
  pageAt,
  SET_PAGE,
  WORD_BITS,
  wordAddress,
} from './layout';

/** What bitmap_read_words found: a stretch that is all clear or all set, or words. */
const CLEAR: i32 = 0;
const SET: i32 = 1;
const WORDS: i32 = 2;

/** Makes the part at `offset`, a multiple of 64 granules, equal to the `wordCount` words at `source`. */
export function bitmap_write_words(bitmap: usize, offset: f64, source: usize, wordCount: u32): i32 {
  return combine(bitmap, offset, source, wordCount, 0);
}

/** Adds the bits set in the `wordCount` words at `source` to the part at `offset`, a multiple of 64 granules. */
export function bitmap_merge_words(bitmap: usize, offset: f64, source: usize, wordCount: u32): i32 {
  return combine(bitmap, offset, source, wordCount, ALL);
}

/**
 * What the bits are from word `from` up to word `end`, at most the last one in use; record 0 says for how many words, one at
 * least. CLEAR, SET: a stretch of such words that fills `capacity` or reaches `end`. WORDS: as many as `capacity`, or all up
 * to `end`, are at `out`.
 */
export function bitmap_read_words(bitmap: usize, from: f64, end: f64, out: usize, capacity: u32): i32 {
  const first = <u64>from;
  // One that is about nothing has a word, too.
  const limit = min<u64>(<u64>end, max<u64>(1, (bitCount(bitmap) + WORD_BITS - 1) / WORD_BITS));
  if (first >= limit) return ERROR_INVALID;
  const stop = min<u64>(limit, first + capacity);
  let next = min<u64>(limit, nextSet(bitmap, first << 6) >> 6);
  let code = CLEAR;
  if (next < stop) {
    next = nextClear(bitmap, first << 6, limit << 6) >> 6;
    code = SET;
  }
  if (next < stop) {
    copyWords(bitmap, first, stop, out);
    next = stop;
    code = WORDS;
  }
  setResult(0, <f64>(next - first));
  return code;
}

function copyWords(bitmap: usize, from: u64, end: u64, out: usize): void {
  while (from < end) {
    const next = min<u64>(end, (from | (PAGE_WORDS - 1)) + 1);
    const bytes = (<usize>(next - from)) << 3;
    memory.copy(out, wordAddress(bitmap, from), bytes);
    out += bytes;
    from = next;
  }
}

/** `keep`: which old bits stay. */
function combine(bitmap: usize, offset: f64, source: usize, wordCount: u32, keep: u64): i32 {
  const bits = bitCount(bitmap);
  const first: u64 = (<u64>(<i64>offset)) >> granularityBits(bitmap);
  if ((first & (WORD_BITS - 1)) != 0) return ERROR_INVALID;
  let word = first >> 6;
  const end = min<u64>(word + wordCount, (bits + WORD_BITS - 1) >> 6);
  const isAtEnd = end << 6 > bits;
  while (word < end) {
    const next = min<u64>(end, (word | (PAGE_WORDS - 1)) + 1);
    combinePart(bitmap, word, next, source, keep);
    source += (<usize>(next - word)) << 3;
    word = next;
  }
  if (isAtEnd) fillBits(bitmap, bits, bits | (WORD_BITS - 1), 0);
  return OK;
}

/** The words [from, end), all in one page. */
function combinePart(bitmap: usize, from: u64, end: u64, source: usize, keep: u64): void {
  const page = from / PAGE_WORDS;
  const entry = entryOf(bitmap, page);
  let own = pageAt(entry);
  if (keep != 0 && own == SET_PAGE) return;
  if (isShared(own)) own = makeOwn(bitmap, entry);
  let at = own + ((<usize>(from % PAGE_WORDS)) << 3);
  const stop = at + ((<usize>(end - from)) << 3);
  let change: u64 = 0;
  for (; at < stop; at += 8) {
    const old = load<u64>(at);
    const fresh = (old & keep) | load<u64>(source);
    store<u64>(at, fresh);
    change += popcnt<u64>(fresh) - popcnt<u64>(old);
    source += 8;
  }
  countIn(bitmap, page, entry, change);
}
