/**
 * Scanning memory for zeros, 64 bytes at a time.
 */

/** Whether all `bytes` at `address` are zero. */
export function scan_is_zero(address: usize, bytes: u32): bool {
  return scan_first_nonzero(address, bytes) == bytes;
}

/** Index of the first byte that is not zero, or `bytes`. */
export function scan_first_nonzero(address: usize, bytes: u32): u32 {
  const end = address + bytes;
  let at = address;
  while (at + 64 <= end) {
    const a = v128.or(v128.load(at), v128.load(at, 16));
    const b = v128.or(v128.load(at, 32), v128.load(at, 48));
    if (v128.any_true(v128.or(a, b))) break;
    at += 64;
  }
  while (at + 8 <= end && load<u64>(at) == 0) at += 8;
  while (at < end && load<u8>(at) == 0) at++;
  return <u32>(at - address);
}

/** Bytes from `address` on that are all zero or all data, in granules; the first granule says which. */
export function scan_run(address: usize, bytes: u32, granule: u32): i32 {
  const zero = scan_is_zero(address, min(granule, bytes));
  let done: u32 = min(granule, bytes);
  while (done < bytes) {
    const part = min(granule, bytes - done);
    if (scan_is_zero(address + done, part) != zero) break;
    done += part;
  }
  return zero ? -(<i32>done) : <i32>done;
}
