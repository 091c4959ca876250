/**
 * A quick answer to "can this cluster be metadata?": a Bloom filter over the clusters of L2 tables and refcount blocks.
 *
 * Data must never overwrite metadata, whatever a damaged image says (specification: qcow2, section 10.6). The filter
 * says no for sure or perhaps; perhaps is settled by looking through the tables. Freed tables stay in it, which only
 * costs a look.
 */
import { allocate } from '../memory';
import { OFFSET_MASK, refcountBlockOffset } from './entry';
import {
  clusterBits,
  isMetadata,
  isProtected,
  l1Entries,
  l1Entry,
  l1Offset,
  refcountTableEntries,
  refcountTableEntry,
  refcountTableOffset,
} from './image';

let filter: usize = 0;
let mask: u64 = 0;

/** `bits`: log2 of the filter's bits. Call when both tables are loaded. */
export function qcow2_init_filter(bits: u32): void {
  mask = ((1 as u64) << bits) - 1;
  filter = allocate(1 << (bits - 3), 8);
  for (let i: u32 = 0; i < l1Entries; i++) noteMetadata(l1Entry(i) & OFFSET_MASK);
  for (let i: u32 = 0; i < refcountTableEntries; i++)
    noteMetadata(refcountBlockOffset(refcountTableEntry(i)));
}

// @ts-ignore: decorator
@inline
function first(cluster: u64): u64 {
  return (cluster * 0x9e3779b97f4a7c15) >> 20;
}

// @ts-ignore: decorator
@inline
function second(cluster: u64): u64 {
  return (cluster * 0xc2b2ae3d27d4eb4f) >> 24;
}

// @ts-ignore: decorator
@inline
function has(bit: u64): bool {
  return (load<u8>(filter + <usize>((bit & mask) >> 3)) & (1 << ((<u8>bit) & 7))) != 0;
}

// @ts-ignore: decorator
@inline
function add(bit: u64): void {
  const at = filter + <usize>((bit & mask) >> 3);
  store<u8>(at, load<u8>(at) | (1 << ((<u8>bit) & 7)));
}

/** A cluster at `offset` holds an L2 table or a refcount block from now on. */
export function noteMetadata(offset: u64): void {
  if (!offset) return;
  const cluster = offset >> clusterBits;
  add(first(cluster));
  add(second(cluster));
}

/** Whether data at `offset` would overwrite metadata. */
export function hitsMetadata(offset: u64): bool {
  const cluster = offset >> clusterBits;
  if (has(first(cluster)) && has(second(cluster)) && isMetadata(offset)) return true;
  return hitsFixed(offset);
}

function hitsFixed(offset: u64): bool {
  const end = offset + ((1 as u64) << clusterBits);
  if (!(offset >> clusterBits)) return true;
  if (offset < l1Offset + ((<u64>l1Entries) << 3) && l1Offset < end && l1Entries > 0) return true;
  if (offset < refcountTableOffset + ((<u64>refcountTableEntries) << 3) && refcountTableOffset < end)
    return true;
  return isProtected(offset);
}
