/**
 * Whether a write to the image file would overwrite metadata (specification: qcow2, section 10.6).
 *
 * Every write is checked before it is made, whatever a damaged image says: guest data in place and in new clusters, and
 * tables that are written back, whose writer names the class that it writes (`own`). The host asks for what it writes
 * itself. A range counts as far as the clusters that it touches, and the first class that it hits, in the order below,
 * is the one that is named.
 *
 * | class, in this order | where it is                                                           |
 * |----------------------|-----------------------------------------------------------------------|
 * | MAIN_HEADER          | cluster 0                                                             |
 * | ACTIVE_L1            | one range                                                             |
 * | REFCOUNT_TABLE       | one range                                                             |
 * | SNAPSHOT_TABLE       | one range, from the host                                              |
 * | INACTIVE_L1          | ranges from the host, ascending and disjoint                          |
 * | ACTIVE_L2            | what the L1 table names; `metadata-filter.ts` says where to look      |
 * | REFCOUNT_BLOCK       | what the refcount table names; the same                               |
 * | INACTIVE_L2          | ranges from the host, ascending and disjoint                          |
 * | BITMAP_DIRECTORY     | one range, from the host                                              |
 *
 * Classes that are not enabled are not looked for: data may then overwrite them, as in QEMU.
 */
import { ERROR_CORRUPT, OK, setResult } from '../abi';
import { allocate } from '../memory';
import { CORRUPT_OVERLAP } from './corruption';
import {
  clusterBytes,
  l1Entries,
  l1Offset,
  namesBlock,
  namesTable,
  refcountTableEntries,
  refcountTableOffset,
} from './image';
import { mayBeBlock, mayBeTable } from './metadata-filter';

const MAIN_HEADER: u32 = 1 << 0;
export const ACTIVE_L1: u32 = 1 << 1;
export const ACTIVE_L2: u32 = 1 << 2;
export const REFCOUNT_TABLE: u32 = 1 << 3;
export const REFCOUNT_BLOCK: u32 = 1 << 4;
const SNAPSHOT_TABLE: u32 = 1 << 5;
const INACTIVE_L1: u32 = 1 << 6;
const INACTIVE_L2: u32 = 1 << 7;
const BITMAP_DIRECTORY: u32 = 1 << 8;
/** What a writer of new clusters or of data owns. */
export const NOTHING: u32 = 0;

let enabled: u32 = 0;

/** Start and end as f64 each, as the host writes them. */
const RANGE_BITS: u32 = 4;
const END: usize = 8;

let inactiveL1: usize = 0;
let inactiveL1Count: u32 = 0;
let inactiveL2: usize = 0;
let inactiveL2Count: u32 = 0;
let snapshotTableStart: u64 = 0;
let snapshotTableEnd: u64 = 0;
let directoryStart: u64 = 0;
let directoryEnd: u64 = 0;

/** `classes` are looked for; room for so many ranges of inactive L1 and L2 tables. */
export function qcow2_init_overlap(classes: u32, l1Ranges: u32, l2Ranges: u32): void {
  enabled = classes;
  inactiveL1 = allocate(l1Ranges << RANGE_BITS, 8);
  inactiveL2 = allocate(l2Ranges << RANGE_BITS, 8);
}

/** Where the host puts the ranges of a class: start and end in bytes, f64 each, ascending and disjoint. */
export function qcow2_overlap_ranges(ofL1: bool): usize {
  return ofL1 ? inactiveL1 : inactiveL2;
}

/** How many ranges are there now. */
export function qcow2_set_overlap_ranges(ofL1: bool, count: u32): void {
  if (ofL1) inactiveL1Count = count;
  else inactiveL2Count = count;
}

/** Where the snapshot table is; no bytes for none. */
export function qcow2_set_snapshot_table(offset: f64, bytes: f64): void {
  snapshotTableStart = <u64>offset;
  snapshotTableEnd = <u64>(offset + bytes);
}

/** Where the bitmap directory is; no bytes for none. */
export function qcow2_set_bitmap_directory(offset: f64, bytes: f64): void {
  directoryStart = <u64>offset;
  directoryEnd = <u64>(offset + bytes);
}

/**
 * Whether a write of `bytes`, at least one, at `offset` may be made by whoever writes the classes `own`. OK; or
 * ERROR_CORRUPT, with record 0 the offset, 1 the bytes, 4 CORRUPT_OVERLAP and 5 the class that is in the way.
 */
export function checkOverlap(offset: u64, bytes: u64, own: u32): i32 {
  const classes = enabled & ~own;
  if (!classes) return OK;
  const hit = firstHit(offset & ~(clusterBytes - 1), offset + bytes, classes);
  if (!hit) return OK;
  setResult(0, <f64>offset);
  setResult(1, <f64>bytes);
  setResult(4, CORRUPT_OVERLAP);
  setResult(5, hit);
  return ERROR_CORRUPT;
}

/** `checkOverlap` for what the host writes. */
export function qcow2_check_overlap(offset: f64, bytes: f64, own: u32): i32 {
  return checkOverlap(<u64>offset, <u64>bytes, own);
}

/** `start` is that of a cluster; the last cluster counts as a whole. */
function firstHit(start: u64, last: u64, classes: u32): u32 {
  const end = (last + clusterBytes - 1) & ~(clusterBytes - 1);
  if (classes & MAIN_HEADER && start < clusterBytes) return MAIN_HEADER;
  if (classes & ACTIVE_L1 && touches(start, end, l1Offset, l1Offset + ((<u64>l1Entries) << 3)))
    return ACTIVE_L1;
  const tableEnd = refcountTableOffset + ((<u64>refcountTableEntries) << 3);
  if (classes & REFCOUNT_TABLE && touches(start, end, refcountTableOffset, tableEnd)) return REFCOUNT_TABLE;
  if (classes & SNAPSHOT_TABLE && touches(start, end, snapshotTableStart, snapshotTableEnd))
    return SNAPSHOT_TABLE;
  if (classes & INACTIVE_L1 && touchesAny(start, end, inactiveL1, inactiveL1Count)) return INACTIVE_L1;
  if (classes & ACTIVE_L2 && holdsTable(start, end)) return ACTIVE_L2;
  if (classes & REFCOUNT_BLOCK && holdsBlock(start, end)) return REFCOUNT_BLOCK;
  if (classes & INACTIVE_L2 && touchesAny(start, end, inactiveL2, inactiveL2Count)) return INACTIVE_L2;
  if (classes & BITMAP_DIRECTORY && touches(start, end, directoryStart, directoryEnd))
    return BITMAP_DIRECTORY;
  return NOTHING;
}

// @ts-ignore: decorator
@inline
function touches(start: u64, end: u64, otherStart: u64, otherEnd: u64): bool {
  // An empty range touches nothing.
  return start < otherEnd && otherStart < end && otherStart < otherEnd;
}

function holdsTable(start: u64, end: u64): bool {
  for (let at = start; at < end; at += clusterBytes) if (mayBeTable(at) && namesTable(at)) return true;
  return false;
}

function holdsBlock(start: u64, end: u64): bool {
  for (let at = start; at < end; at += clusterBytes) if (mayBeBlock(at) && namesBlock(at)) return true;
  return false;
}

/** Whether one of the ranges, ascending and disjoint, touches [start, end). */
function touchesAny(start: u64, end: u64, ranges: usize, count: u32): bool {
  // The first range that ends behind `start`.
  let low: u32 = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (<u64>load<f64>(ranges + ((<usize>middle) << RANGE_BITS), END) > start) high = middle;
    else low = middle + 1;
  }
  return low < count && <u64>load<f64>(ranges + ((<usize>low) << RANGE_BITS)) < end;
}
