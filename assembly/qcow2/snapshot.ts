/**
 * Trees of clusters that are shared between the active disk and internal snapshots (specification: qcow2, sections 5.3
 * to 5.5): counting a whole tree up or down, and making the COPIED flags agree with the counts again.
 *
 * A tree is walked one slice of an L2 table at a time; the host holds the L1 table and goes through it. A slice may need
 * many refcount blocks, so a step that waits keeps how far it came: there is one walk at a time, begun with
 * `qcow2_walk_begin`, and nothing else changes the tables that it goes through.
 */
import { FREES_FULL, getResult, OK, WRITEBACK } from '../abi';
import { releaseEntry, setSliceEntry } from './allocate';
import { compressedEnd, compressedOffset, COPIED, OFFSET_MASK } from './entry';
import { clusterBits, l1Entries, l1Entry, setL1Entry } from './image';
import { checked, isCopied, IS_COMPRESSED, NORMAL, sliceEntry, ZERO_ALLOC } from './map';
import { noteTables } from './metadata-filter';
import { BY_SNAPSHOT, freeLater, roomForFrees } from './pending-free';
import { decrement, increment, qcow2_refcount } from './refcount';
import { ensure, entryBytes, L2 } from './table-cache';
import { isWritingBack } from './writeback-state';

/** Entries done, and clusters of the entry after them. */
let entriesDone: u32 = 0;
let clustersDone: u32 = 0;
/** Where a walk that undoes another one ends. */
let entryLimit: u32 = u32.MAX_VALUE;
let clusterLimit: u32 = 0;

/** Begins a slice or a table. With `undo`, the walk ends where the one before it stopped. */
export function qcow2_walk_begin(undo: bool): void {
  entryLimit = undo ? entriesDone : u32.MAX_VALUE;
  clusterLimit = undo ? clustersDone : 0;
  entriesDone = 0;
  clustersDone = 0;
}

/**
 * Counts everything up that slice `slice` of the L2 table at `table` refers to, or down with `undo`, which never frees
 * anything. Counting up, COPIED goes from every entry. OK when the slice is done; ERROR_INVALID when a count is at its
 * maximum; or a wait code.
 */
export function qcow2_share_slice(table: f64, slice: u32, undo: bool): i32 {
  if (isWritingBack()) return WRITEBACK;
  const slot = ensure(L2, <u64>table + <u64>slice * <u64>entryBytes(L2));
  if (slot < 0) return slot;
  const end = min(entryBytes(L2) >> 3, entryLimit);
  while (entriesDone < end) {
    const code = shareEntry(slot, entriesDone, u32.MAX_VALUE, undo);
    if (code != OK) return code;
    entriesDone++;
    clustersDone = 0;
  }
  return clusterLimit && entriesDone < entryBytes(L2) >> 3
    ? shareEntry(slot, entriesDone, clusterLimit, undo)
    : OK;
}

function shareEntry(slot: u32, index: u32, limit: u32, undo: bool): i32 {
  const entry = sliceEntry(slot, index);
  const type = checked(entry, 0);
  if (type < 0) return type;
  let first: u64;
  let clusters: u32 = 1;
  if (type == NORMAL || type == ZERO_ALLOC) {
    first = (entry & OFFSET_MASK) >> clusterBits;
  } else if (type == IS_COMPRESSED) {
    first = compressedOffset(entry, clusterBits) >> clusterBits;
    clusters = <u32>(((compressedEnd(entry, clusterBits) - 1) >> clusterBits) - first + 1);
  } else {
    return OK;
  }
  for (const end = min(clusters, limit); clustersDone < end; clustersDone++) {
    const code = undo ? decrement(first + clustersDone) : increment(first + clustersDone);
    if (code != OK) return code;
  }
  if (!undo && type != IS_COMPRESSED && isCopied(entry)) setSliceEntry(slot, index, entry & ~COPIED);
  return OK;
}

/** Counts one L2 table up, or down to undo that. OK, ERROR_INVALID, or a wait code. */
export function qcow2_share_table(table: f64, undo: bool): i32 {
  if (isWritingBack()) return WRITEBACK;
  const cluster = (<u64>table) >> clusterBits;
  return undo ? decrement(cluster) : increment(cluster);
}

/** Clears COPIED in all entries of the active L1 table. WRITEBACK: wait, then again. */
export function qcow2_share_l1(): i32 {
  if (isWritingBack()) return WRITEBACK;
  for (let i: u32 = 0; i < l1Entries; i++) {
    const entry = l1Entry(i);
    if (isCopied(entry)) setL1Entry(i, entry & ~COPIED);
  }
  return OK;
}

/** Gives up everything that a slice of a table refers to which no L1 table on disk leads to any more. */
export function qcow2_release_slice(table: f64, slice: u32): i32 {
  const slot = ensure(L2, <u64>table + <u64>slice * <u64>entryBytes(L2));
  if (slot < 0) return slot;
  for (; entriesDone < entryBytes(L2) >> 3; entriesDone++) {
    if (!roomForFrees(1)) return FREES_FULL;
    const entry = sliceEntry(slot, entriesDone);
    const type = checked(entry, 0);
    if (type < 0) return type;
    releaseEntry(entry, BY_SNAPSHOT);
  }
  return OK;
}

/** Gives up the L2 table at `table` itself, or part of an L1 table. */
export function qcow2_release_tables(table: f64, clusters: u32): i32 {
  if (!roomForFrees(1)) return FREES_FULL;
  freeLater((<u64>table) >> clusterBits, clusters, BY_SNAPSHOT);
  return OK;
}

/**
 * Makes COPIED in slice `slice` of the active table at L1 index `l1Index` say whether the count is one. No references
 * may be waiting to be counted down.
 */
export function qcow2_refresh_slice(l1Index: u32, slice: u32): i32 {
  if (isWritingBack()) return WRITEBACK;
  const table = l1Entry(l1Index) & OFFSET_MASK;
  for (; entriesDone < entryBytes(L2) >> 3; entriesDone++) {
    // Looked up again each time: a refcount block that is loaded meanwhile takes no L2 slot, but time.
    const slot = ensure(L2, table + <u64>slice * <u64>entryBytes(L2));
    if (slot < 0) return slot;
    const entry = sliceEntry(slot, entriesDone);
    const type = checked(entry, 0);
    if (type < 0) return type;
    if (type != NORMAL && type != ZERO_ALLOC) continue;
    const code = qcow2_refcount(<f64>((entry & OFFSET_MASK) >> clusterBits));
    if (code != OK) return code;
    const wanted = getResult(0) == 1 ? entry | COPIED : entry & ~COPIED;
    if (wanted != entry) setSliceEntry(slot, entriesDone, wanted);
  }
  return OK;
}

/** The same for L1 entry `l1Index`. */
export function qcow2_refresh_table(l1Index: u32): i32 {
  if (isWritingBack()) return WRITEBACK;
  const entry = l1Entry(l1Index);
  const table = entry & OFFSET_MASK;
  if (!table) return OK;
  const code = qcow2_refcount(<f64>(table >> clusterBits));
  if (code != OK) return code;
  const wanted = getResult(0) == 1 ? entry | COPIED : entry & ~COPIED;
  if (wanted != entry) setL1Entry(l1Index, wanted);
  return OK;
}

/** The L1 table in memory was replaced: its L2 tables are metadata from now on. */
export function qcow2_note_tables(): void {
  noteTables();
}
