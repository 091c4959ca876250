/**
 * Refcounts: reading, changing, finding free clusters, adding refcount blocks (specification: qcow2, section 2).
 *
 * Every count of a referenced cluster is in a block before the reference is written, because write-back goes that way
 * round. A new block is on disk before the table entry that shows it. Growing the table is a sequence of its own
 * (`table-growth.ts`).
 */
import { ERROR_INVALID, ERROR_TOO_BIG, GROW_TABLE, OK, setResult, WRITEBACK } from '../abi';
import { CORRUPT_ALLOCATION, CORRUPT_REFBLOCK, CORRUPT_REFCOUNT, corrupt, corruptTable } from './corruption';
import { refcountBlockOffset } from './entry';
import {
  blockBits,
  clusterBits,
  clusterBytes,
  clusterLimit,
  refcountOrder,
  refcountTableEntries,
  refcountTableEntry,
  setRefcountTableEntry,
} from './image';
import { noteBlock } from './metadata-filter';
import { checkOverlap, NOTHING } from './overlap-check';
import { maxRefcount, readRefcount, writeRefcount } from './refcount-block';
import { BLOCK, create, dropTables, ensure, markDirty, slotData } from './table-cache';
import { isWritingBack } from './writeback-state';

/** What a cluster is allocated for: record 5 of CORRUPT_ALLOCATION. */
export const FOR_DATA: u32 = 0;
export const FOR_L2_TABLE: u32 = 1;
export const FOR_COMPRESSED_DATA: u32 = 2;
const FOR_REFCOUNT_BLOCK: u32 = 3;
const FOR_HOST: u32 = 4;

/** No cluster below this one is free. */
let freeHint: u64 = 0;

/** What `findFree` found. */
let foundCluster: u64 = 0;
let foundClusters: u32 = 0;

// @ts-ignore: decorator
@inline
function indexInBlock(cluster: u64): u32 {
  return <u32>(cluster & (((1 as u64) << blockBits) - 1));
}

/** Offset of the block that describes `cluster`, 0 when there is none, or u64.MAX_VALUE when its entry is damaged. */
function blockOffset(cluster: u64): u64 {
  const index = cluster >> blockBits;
  if (index >= refcountTableEntries) return 0;
  const offset = refcountBlockOffset(refcountTableEntry(<u32>index));
  return offset & (clusterBytes - 1) ? u64.MAX_VALUE : offset;
}

/** The slot of the block that describes `cluster`; OK-but-absent is an error here. */
function ensureBlock(cluster: u64): i32 {
  const offset = blockOffset(cluster);
  if (!offset) return corrupt(CORRUPT_REFCOUNT, cluster << clusterBits);
  if (offset == u64.MAX_VALUE) {
    const index = cluster >> blockBits;
    return corruptTable(CORRUPT_REFBLOCK, refcountBlockOffset(refcountTableEntry(<u32>index)), index);
  }
  return ensure(BLOCK, offset);
}

/** Count of `cluster` in record 0, or a wait code. */
export function qcow2_refcount(cluster: f64): i32 {
  const number = <u64>cluster;
  if (!blockOffset(number)) {
    setResult(0, 0);
    return OK;
  }
  const slot = ensureBlock(number);
  if (slot < 0) return slot;
  setResult(0, <f64>readRefcount(slotData(slot), indexInBlock(number), refcountOrder));
  return OK;
}

/** One reference more. ERROR_INVALID when the width cannot hold it. */
export function increment(cluster: u64): i32 {
  const slot = ensureBlock(cluster);
  if (slot < 0) return slot;
  const block = slotData(slot);
  const count = readRefcount(block, indexInBlock(cluster), refcountOrder);
  if (count == maxRefcount(refcountOrder)) return ERROR_INVALID;
  writeRefcount(block, indexInBlock(cluster), refcountOrder, count + 1);
  markDirty(slot);
  return OK;
}

/** One reference less. Tables cached for a cluster that is free now are forgotten. */
export function decrement(cluster: u64): i32 {
  const slot = ensureBlock(cluster);
  if (slot < 0) return slot;
  const block = slotData(slot);
  const count = readRefcount(block, indexInBlock(cluster), refcountOrder);
  if (!count) return corrupt(CORRUPT_REFCOUNT, cluster << clusterBits);
  writeRefcount(block, indexInBlock(cluster), refcountOrder, count - 1);
  markDirty(slot);
  if (count == 1) {
    if (cluster < freeHint) freeHint = cluster;
    dropTables(cluster << clusterBits, clusterBytes);
  }
  return OK;
}

/**
 * Finds up to `wanted` free clusters that follow each other, all described by one block (which may not exist yet),
 * below `limit`. Changes nothing but the hint. OK leaves them in `foundCluster`, `foundClusters`.
 */
function findFree(wanted: u32, limit: u64): i32 {
  for (;;) {
    const cluster = freeHint;
    if (cluster >= limit) return ERROR_TOO_BIG;
    const offset = blockOffset(cluster);
    if (offset == u64.MAX_VALUE) return ensureBlock(cluster);
    const first = indexInBlock(cluster);
    const end: u32 = 1 << blockBits;
    if (!offset) {
      foundCluster = cluster;
      foundClusters = min(wanted, end - first);
      return OK;
    }
    const slot = ensure(BLOCK, offset);
    if (slot < 0) return slot;
    const index = firstFreeIn(slotData(slot), first, end);
    freeHint = cluster + (index - first);
    if (index == end) continue;
    foundCluster = freeHint;
    if (foundCluster >= limit) return ERROR_TOO_BIG;
    let run: u32 = 1;
    while (run < wanted && index + run < end && !readRefcount(slotData(slot), index + run, refcountOrder))
      run++;
    foundClusters = <u32>min(<u64>run, limit - foundCluster);
    return OK;
  }
  return OK;
}

function firstFreeIn(block: usize, first: u32, end: u32): u32 {
  let index = first;
  if (refcountOrder == 4) {
    // Eight counts at a time, while none of them is zero.
    while (index & 7 && index < end && load<u16>(block + (index << 1))) index++;
    if (!(index & 7)) while (index + 8 <= end && i16x8.all_true(v128.load(block + (index << 1)))) index += 8;
  }
  while (index < end && readRefcount(block, index, refcountOrder)) index++;
  return index;
}

/**
 * Allocates up to `wanted` clusters in a row: OK with `allocatedCluster` and `allocatedClusters`, or a wait code or an
 * error with nothing allocated. An absent refcount block is added on the way, which is complete in itself. Clusters
 * without a count that are in use all the same are ERROR_CORRUPT: to write there would destroy the image.
 */
export function allocate(wanted: u32, limit: u64, purpose: u32): i32 {
  let code = findFree(wanted, min(limit, clusterLimit));
  // Adding a block takes a cluster, so the search starts over.
  while (code == OK && !blockOffset(foundCluster)) {
    code = addBlock(<u32>(foundCluster >> blockBits));
    if (code == OK) code = findFree(wanted, min(limit, clusterLimit));
  }
  if (code != OK) return code;
  const slot = ensureBlock(foundCluster);
  if (slot < 0) return slot;
  code = checkNew(foundCluster, foundClusters, purpose);
  if (code != OK) return code;
  const block = slotData(slot);
  for (let i: u32 = 0; i < foundClusters; i++)
    writeRefcount(block, indexInBlock(foundCluster + i), refcountOrder, 1);
  markDirty(slot);
  freeHint = foundCluster + foundClusters;
  return OK;
}

/** Whether clusters that have no counts may be taken. */
function checkNew(cluster: u64, clusters: u32, purpose: u32): i32 {
  // Cluster 0 is never free, and as a pointer it would mean "none": only the words depend on whether it is protected.
  if (!cluster && purpose != FOR_DATA && purpose != FOR_HOST) return corruptAllocation(purpose);
  const code = checkOverlap(cluster << clusterBits, (<u64>clusters) << clusterBits, NOTHING);
  return code == OK && !cluster ? corruptAllocation(purpose) : code;
}

function corruptAllocation(purpose: u32): i32 {
  setResult(5, purpose);
  return corrupt(CORRUPT_ALLOCATION, 0);
}

/** `allocate` for structures that the host lays out itself: record 0 the offset, 1 how many clusters. */
export function qcow2_allocate(clusters: u32): i32 {
  const code = allocate(clusters, u64.MAX_VALUE, FOR_HOST);
  if (code != OK) return code;
  setResult(0, <f64>(foundCluster << clusterBits));
  setResult(1, foundClusters);
  return OK;
}

/** First of the clusters that `allocate` gave. */
export function allocatedCluster(): u64 {
  return foundCluster;
}

export function allocatedClusters(): u32 {
  return foundClusters;
}

/** Adds the block for table index `index`. Blocks and table must not change under a write-back that has passed them. */
function addBlock(index: u32): i32 {
  if (isWritingBack()) return WRITEBACK;
  if (index >= refcountTableEntries) {
    setResult(0, index);
    return GROW_TABLE;
  }
  let code = findFree(1, clusterLimit);
  if (code != OK) return code;
  const cluster = foundCluster;
  const home = <u32>(cluster >> blockBits);
  if (home >= refcountTableEntries) {
    setResult(0, home);
    return GROW_TABLE;
  }
  if (home != index && !blockOffset(cluster)) return addBlock(home);
  code = checkNew(cluster, 1, FOR_REFCOUNT_BLOCK);
  if (code != OK) return code;
  let homeSlot: i32 = -1;
  if (home != index) {
    homeSlot = ensureBlock(cluster);
    if (homeSlot < 0) return homeSlot;
    // Its count is in place before the new slot may push it out: a dirty slot stays.
    writeRefcount(slotData(homeSlot), indexInBlock(cluster), refcountOrder, 1);
    markDirty(homeSlot);
  }
  const slot = create(BLOCK, cluster << clusterBits);
  if (slot < 0) {
    if (homeSlot >= 0) writeRefcount(slotData(homeSlot), indexInBlock(cluster), refcountOrder, 0);
    return slot;
  }
  if (home == index) writeRefcount(slotData(slot), indexInBlock(cluster), refcountOrder, 1);
  setRefcountTableEntry(index, cluster << clusterBits);
  noteBlock(cluster << clusterBits);
  if (freeHint == cluster) freeHint = cluster + 1;
  return OK;
}
