/**
 * Entries of the tables of an image, bit by bit (specification: qcow2, sections 2.1 and 3.2 to 3.4): values in, values
 * out, nothing of any open image. The host has the same in host/formats/qcow2/disk/entry.ts, and a test compares the two.
 *
 * | bits            | L1 entry           | L2 entry             | compressed descriptor     | refcount table entry |
 * |-----------------|--------------------|----------------------|---------------------------|----------------------|
 * | 63              | COPIED             | COPIED               | 0                         | offset               |
 * | 62              | reserved           | 0                    | COMPRESSED                | offset               |
 * | x to 61         |                    |                      | further sectors           |                      |
 * | 0 to x − 1      |                    |                      | byte offset of the stream |                      |
 * | 56 to 61        | reserved           | reserved             |                           | offset               |
 * | 9 to 55         | L2 table's offset  | data cluster's offset |                          | offset               |
 * | 1 to 8          | reserved           | reserved             |                           | reserved             |
 * | 0               | reserved           | ZERO (version 3)     |                           | reserved             |
 *
 * x = 70 − cluster bits. Where that is more than 56 the descriptor's offset has bits that no valid image sets: they are
 * part of the offset all the same, which is then far behind the end of any file.
 */

/** The cluster or table has exactly one reference, so it may be overwritten in place. */
export const COPIED: u64 = 1 << 63;
export const COMPRESSED: u64 = 1 << 62;
/** Reads as zeros, whatever the cluster holds. */
export const ZERO: u64 = 1;
/** The offset in L1 entries and in L2 entries that are not compressed. */
export const OFFSET_MASK: u64 = 0x00fffffffffffe00;
export const L1_RESERVED: u64 = 0x7f000000000001ff;
/** In version 2 also ZERO. */
export const L2_RESERVED: u64 = 0x3f000000000001fe;
const REFCOUNT_BLOCK_MASK: u64 = 0xfffffffffffffe00;

/** log2 of the bytes in a sector, which is what the length of compressed data is counted in. */
export const SECTOR_BITS: u32 = 9;
const SECTOR_MASK: u64 = 511;

/** Offset of the refcount block that an entry of the refcount table names, 0 for none. */
// @ts-ignore: decorator
@inline
export function refcountBlockOffset(entry: u64): u64 {
  return entry & REFCOUNT_BLOCK_MASK;
}

/** Bits of the byte offset in a compressed descriptor. */
// @ts-ignore: decorator
@inline
export function compressedOffsetBits(clusterBits: u32): u64 {
  return 70 - <u64>clusterBits;
}

/** Where in the file the stream starts. */
export function compressedOffset(entry: u64, clusterBits: u32): u64 {
  return entry & (((1 as u64) << compressedOffsetBits(clusterBits)) - 1);
}

/** End of the last sector that the stream may reach into. */
export function compressedEnd(entry: u64, clusterBits: u32): u64 {
  const sectors = (entry & (COMPRESSED - 1)) >> compressedOffsetBits(clusterBits);
  return (compressedOffset(entry, clusterBits) & ~SECTOR_MASK) + ((sectors + 1) << SECTOR_BITS);
}

/** The descriptor of a stream of `bytes`, at least one, at byte `offset`. */
export function compressedEntry(offset: u64, bytes: u64, clusterBits: u32): u64 {
  const sectors = ((offset + bytes - 1) >> SECTOR_BITS) - (offset >> SECTOR_BITS);
  return COMPRESSED | (sectors << compressedOffsetBits(clusterBits)) | offset;
}
