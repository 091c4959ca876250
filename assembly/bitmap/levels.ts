/**
 * The levels above the pages of a bitmap: which pages, and which words of the level below, are not all clear. They lead
 * over clean stretches of any length in a few steps.
 */
import { ALL, levelCount, levelWord, levelWords } from './layout';

/** What no number of a page or a bit is. */
export const NONE: u64 = ALL;

/** Sets bits of `level` and of those above, where words below them are not zero any more. */
export function raise(bitmap: usize, level: u32, first: u64, last: u64): void {
  const levels = levelCount(bitmap);
  for (; level < levels; level++) {
    const firstWord = first >> 6;
    const lastWord = last >> 6;
    let at = levelWord(bitmap, level, firstWord);
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
    const at = levelWord(bitmap, level, firstWord);
    const end = levelWord(bitmap, level, limit - 1);
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

/** The first page from `from` on that is not all clear, or NONE. */
export function nextDirtyPage(bitmap: usize, from: u64): u64 {
  const levels = levelCount(bitmap);
  let level: u32 = 0;
  let position = from;
  for (;;) {
    const index = position >> 6;
    if (index >= levelWords(bitmap, level)) return NONE;
    const word = load<u64>(levelWord(bitmap, level, index)) >> (position & 63);
    if (word != 0) {
      position += ctz<u64>(word);
      break;
    }
    if (++level == levels) return NONE;
    position = index + 1;
  }
  while (level > 0) {
    level--;
    position = (position << 6) | ctz<u64>(load<u64>(levelWord(bitmap, level, position)));
  }
  return position;
}
