/**
 * Entries of the tables of an image, bit by bit (specification: qcow2, sections 2.1, 2.2 and 3.2 to 3.4): values in,
 * values out, nothing of any open image. The core has the same in assembly/qcow2/entry.ts and assembly/qcow2/refcount-block.ts, and a
 * test compares the two.
 *
 * | bits            | L1 entry           | L2 entry             | compressed descriptor     |
 * |-----------------|--------------------|----------------------|---------------------------|
 * | 63              | COPIED             | COPIED               | 0                         |
 * | 62              | reserved           | 0                    | COMPRESSED                |
 * | x to 61         |                    |                      | further sectors           |
 * | 0 to x − 1      |                    |                      | byte offset of the stream |
 * | 9 to 55         | L2 table's offset  | data cluster's offset |                          |
 * | 0               | reserved           | ZERO (version 3)     |                           |
 *
 * x = 70 − cluster bits. Where that is more than 56 the descriptor's offset has bits that no valid image sets: they are
 * part of the offset all the same, which is then far behind the end of any file.
 */
import { sectorBytes } from '../../../base/sectors.ts';

/** The cluster or table has exactly one reference, so it may be overwritten in place. */
export const copiedFlag = 1n << 63n;
export const compressedFlag = 1n << 62n;
/** Reads as zeros, whatever the cluster holds. */
export const zeroFlag = 1n;
const offsetMask = 0x00fffffffffffe00n;

/** Offset of the table or cluster that an L1 entry, or an L2 entry that is not compressed, names; 0 for none. */
export function entryOffset(entry: bigint): number {
  return Number(entry & offsetMask);
}

/** The sectors from the first byte of a compressed stream on, in which it ends. `offset` has any alignment. */
export function compressedRange(entry: bigint, clusterBits: number): { offset: number; bytes: number } {
  const offsetBits = BigInt(70 - clusterBits);
  const offset = entry & ((1n << offsetBits) - 1n);
  const sectors = Number((entry & (compressedFlag - 1n)) >> offsetBits) + 1;
  return { offset: Number(offset), bytes: sectors * sectorBytes - Number(offset % BigInt(sectorBytes)) };
}

/** Where in a refcount block the count at `index` begins, with counts of 2 ** `order` bits. */
export function refcountOffset(index: number, order: number): number {
  return Math.floor((index * 2 ** order) / 8);
}

/** The count at `index` of a refcount block; `view` is 8 bytes from `refcountOffset` on. */
export function readRefcount(view: DataView, index: number, order: number): bigint {
  const width = 2 ** order;
  if (width >= 8) return view.getBigUint64(0) >> BigInt(64 - width);
  // Below a byte the first count is in the lowest bits.
  return BigInt((view.getUint8(0) >> ((index * width) % 8)) & (2 ** width - 1));
}
