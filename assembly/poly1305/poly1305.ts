/**
 * Poly1305 (RFC 8439, section 2.5): a one-time authenticator of 16 bytes.
 *
 * The number that is added up, and the multiplier r, are kept in limbs of 26 bits: products of two of them, five at a time, fit
 * into 64 bits with room for the carries. A message is added in parts; all but the last are multiples of 16 bytes. One
 * message is under way at a time. No branch and no address depends on key or message, only on lengths.
 */

const blockBytes: u32 = 16;
const limbMask: u64 = 0x3ffffff;

let r0: u64 = 0;
let r1: u64 = 0;
let r2: u64 = 0;
let r3: u64 = 0;
let r4: u64 = 0;
let h0: u64 = 0;
let h1: u64 = 0;
let h2: u64 = 0;
let h3: u64 = 0;
let h4: u64 = 0;
let padLow: u64 = 0;
let padHigh: u64 = 0;

/** A block of fewer than 16 bytes is made one here. */
const partial = memory.data(16, 16);

/** Begins a message. `key`: 32 bytes, r and then s; r is clamped here. */
export function poly1305_begin(key: usize): void {
  const low = load<u64>(key) & 0x0ffffffc0fffffff;
  const high = load<u64>(key, 8) & 0x0ffffffc0ffffffc;
  r0 = low & limbMask;
  r1 = (low >> 26) & limbMask;
  r2 = ((low >> 52) | (high << 12)) & limbMask;
  r3 = (high >> 14) & limbMask;
  r4 = high >> 40;
  h0 = 0;
  h1 = 0;
  h2 = 0;
  h3 = 0;
  h4 = 0;
  padLow = load<u64>(key, 16);
  padHigh = load<u64>(key, 24);
}

/** Adds `bytes` at `address`. */
export function poly1305_add(address: usize, bytes: u32): void {
  const whole = bytes & ~(blockBytes - 1);
  addBlocks(address, whole, 1 << 24);
  const rest = bytes - whole;
  if (rest == 0) return;
  store<u64>(partial, 0);
  store<u64>(partial, 0, 8);
  memory.copy(partial, address + whole, rest);
  store<u8>(partial + rest, 1);
  addBlocks(partial, blockBytes, 0);
}

/** `top`: the bit behind a whole block, in its highest limb. */
function addBlocks(address: usize, bytes: u32, top: u64): void {
  const s1 = r1 * 5;
  const s2 = r2 * 5;
  const s3 = r3 * 5;
  const s4 = r4 * 5;
  let a0 = h0;
  let a1 = h1;
  let a2 = h2;
  let a3 = h3;
  let a4 = h4;
  for (const end = address + bytes; address < end; address += blockBytes) {
    const low = load<u64>(address);
    const high = load<u64>(address, 8);
    a0 += low & limbMask;
    a1 += (low >> 26) & limbMask;
    a2 += ((low >> 52) | (high << 12)) & limbMask;
    a3 += (high >> 14) & limbMask;
    a4 += (high >> 40) | top;
    // What lies above 2^130 comes back five times: 2^130 is 5 more than the modulus.
    let d0 = a0 * r0 + a1 * s4 + a2 * s3 + a3 * s2 + a4 * s1;
    let d1 = a0 * r1 + a1 * r0 + a2 * s4 + a3 * s3 + a4 * s2;
    let d2 = a0 * r2 + a1 * r1 + a2 * r0 + a3 * s4 + a4 * s3;
    let d3 = a0 * r3 + a1 * r2 + a2 * r1 + a3 * r0 + a4 * s4;
    let d4 = a0 * r4 + a1 * r3 + a2 * r2 + a3 * r1 + a4 * r0;
    d1 += d0 >> 26;
    d2 += d1 >> 26;
    d3 += d2 >> 26;
    d4 += d3 >> 26;
    a0 = (d0 & limbMask) + (d4 >> 26) * 5;
    a1 = (d1 & limbMask) + (a0 >> 26);
    a0 &= limbMask;
    a2 = d2 & limbMask;
    a3 = d3 & limbMask;
    a4 = d4 & limbMask;
  }
  h0 = a0;
  h1 = a1;
  h2 = a2;
  h3 = a3;
  h4 = a4;
}

/** Ends the message: its 16 bytes are at `tag`. */
export function poly1305_end(tag: usize): void {
  // Every limb is brought below 2^26, then the modulus taken off once more, if that leaves something.
  h2 += h1 >> 26;
  h1 &= limbMask;
  h3 += h2 >> 26;
  h2 &= limbMask;
  h4 += h3 >> 26;
  h3 &= limbMask;
  h0 += (h4 >> 26) * 5;
  h4 &= limbMask;
  h1 += h0 >> 26;
  h0 &= limbMask;
  const g0 = h0 + 5;
  const g1 = h1 + (g0 >> 26);
  const g2 = h2 + (g1 >> 26);
  const g3 = h3 + (g2 >> 26);
  const g4 = h4 + (g3 >> 26) - (1 << 26);
  // All ones where g4 did not go below zero.
  const keep = (g4 >> 63) - 1;
  h0 = (h0 & ~keep) | (g0 & limbMask & keep);
  h1 = (h1 & ~keep) | (g1 & limbMask & keep);
  h2 = (h2 & ~keep) | (g2 & limbMask & keep);
  h3 = (h3 & ~keep) | (g3 & limbMask & keep);
  h4 = (h4 & ~keep) | (g4 & limbMask & keep);
  const low = h0 | (h1 << 26) | (h2 << 52);
  const high = (h2 >> 12) | (h3 << 14) | (h4 << 40);
  const sum = low + padLow;
  store<u64>(tag, sum);
  store<u64>(tag, high + padHigh + u64(sum < low), 8);
}
