/**
 * Comparing two stretches of memory, 32 bytes at a time.
 */

/** Index of the first byte that differs, or `bytes`. */
export function scan_first_difference(a: usize, b: usize, bytes: u32): u32 {
  let at: usize = 0;
  while (at + 32 <= bytes) {
    const low = v128.xor(v128.load(a + at), v128.load(b + at));
    const high = v128.xor(v128.load(a + at, 16), v128.load(b + at, 16));
    if (v128.any_true(v128.or(low, high))) break;
    at += 32;
  }
  while (at + 8 <= bytes && load<u64>(a + at) == load<u64>(b + at)) at += 8;
  while (at < bytes && load<u8>(a + at) == load<u8>(b + at)) at++;
  return <u32>at;
}
