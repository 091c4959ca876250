/**
 * A quick answer to "can an L2 table, or a refcount block, be in this cluster?": a Bloom filter over both.
 *
 * It says no for sure, or perhaps; perhaps is settled by looking through the table that names them (`overlap-check.ts`).
 * What was freed stays in it, which only costs a look.
 */
import { allocate } from '../memory';
import { OFFSET_MASK, refcountBlockOffset } from './entry';
import { clusterBits, l1Entries, l1Entry, refcountTableEntries, refcountTableEntry } from './image';

let filter: usize = 0;
let mask: u64 = 0;

/** `bits`: log2 of the filter's bits. Call when both tables are loaded. */
export function qcow2_init_filter(bits: u32): void {
  mask = ((1 as u64) << bits) - 1;
  filter = allocate(1 << (bits - 3), 8);
  noteTables();
  for (let i: u32 = 0; i < refcountTableEntries; i++) noteBlock(refcountBlockOffset(refcountTableEntry(i)));
}

/** What the L1 table names is metadata from now on. */
export function noteTables(): void {
  for (let i: u32 = 0; i < l1Entries; i++) noteTable(l1Entry(i) & OFFSET_MASK);
}

/** A cluster at `offset` holds an L2 table from now on; 0 for none. */
export function noteTable(offset: u64): void {
  if (offset) note(tableKey(offset));
}

/** A cluster at `offset` holds a refcount block from now on; 0 for none. */
export function noteBlock(offset: u64): void {
  if (offset) note(blockKey(offset));
}

/** Whether there may be an L2 table in the cluster at `offset`. */
// @ts-ignore: decorator
@inline
export function mayBeTable(offset: u64): bool {
  return isNoted(tableKey(offset));
}

/** Whether there may be a refcount block in the cluster at `offset`. */
// @ts-ignore: decorator
@inline
export function mayBeBlock(offset: u64): bool {
  return isNoted(blockKey(offset));
}

// One filter for both: what is looked up tells which is meant.

// @ts-ignore: decorator
@inline
function tableKey(offset: u64): u64 {
  return (offset >> clusterBits) << 1;
}

// @ts-ignore: decorator
@inline
function blockKey(offset: u64): u64 {
  return ((offset >> clusterBits) << 1) | 1;
}

// @ts-ignore: decorator
@inline
function first(key: u64): u64 {
  return (key * 0x9e3779b97f4a7c15) >> 20;
}

// @ts-ignore: decorator
@inline
function second(key: u64): u64 {
  return (key * 0xc2b2ae3d27d4eb4f) >> 24;
}

// @ts-ignore: decorator
@inline
function isNoted(key: u64): bool {
  return has(first(key)) && has(second(key));
}

function note(key: u64): void {
  add(first(key));
  add(second(key));
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
