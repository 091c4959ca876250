/**
 * Writing guest data: which host clusters it goes to, and publishing them (specification: qcow2, sections 4.1 to 4.6).
 *
 * `qcow2_write_prepare` says where the data goes: in place, or into clusters reserved under a token. The host moves the
 * data and what surrounds it, then commits or aborts. Before anything can be mapped the L2 table must exist and belong
 * to the active tree alone; where it does not, the step reserves a cluster for it and the host fills that first (INIT).
 */
import { ERROR_INVALID, FREES_FULL, INIT, OK, setResult, WRITEBACK } from '../abi';
import { corruptTable, CORRUPT_L2 } from './corruption';
import { compressedEnd, compressedOffset, COPIED, OFFSET_MASK } from './entry';
import { clusterBits, clusterBytes, clusterLimit, l1Entries, l1Entry, l2Bits, setL1Entry } from './image';
import {
  checked,
  indexInSlice,
  isCopied,
  IS_COMPRESSED,
  NORMAL,
  sliceEntry,
  sliceOffset,
  ZERO_ALLOC,
} from './map';
import { noteTable } from './metadata-filter';
import { checkOverlap, NOTHING } from './overlap-check';
import { BY_OTHER, BY_WRITE, freeLater, roomForFrees } from './pending-free';
import { allocate, allocatedCluster, allocatedClusters, FOR_DATA, FOR_L2_TABLE } from './refcount';
import { dropPackingCursorAt } from './compressed-cursor';
import { ensure, entryBytes, L2, markDirty, slotData } from './table-cache';
import {
  busyWith,
  COMPRESSED_DATA,
  DATA,
  giveToken,
  overlapping,
  REUSE,
  TABLE,
  roomNeeded,
  takeToken,
  tokenAvailable,
  tokenClusters,
  tokenExtra,
  tokenGuest,
  tokenHost,
  tokenKind,
  tokenSlot,
} from './tokens';
import { isWritingBack } from './writeback-state';

/** What `qcow2_write_prepare` returns besides wait codes. */
const IN_PLACE: i32 = 0;
export const ALLOCATED: i32 = 1;

/**
 * The slot of the slice that maps guest cluster `cluster`, in a table that may be changed. Or a wait code; INIT has a
 * token in record 3 and says where the fresh table is (0), its bytes (1) and what to copy into it or 0 (2).
 * ERROR_INVALID when the L1 table has no entry for it.
 */
export function writableSlice(cluster: u64): i32 {
  const l1Index = cluster >> l2Bits;
  if (l1Index >= l1Entries) return ERROR_INVALID;
  const entry = l1Entry(<u32>l1Index);
  const table = entry & OFFSET_MASK;
  if (table & (clusterBytes - 1)) return corruptTable(CORRUPT_L2, table, l1Index);
  if (table && isCopied(entry)) return ensure(L2, sliceOffset(table, cluster));
  const first = l1Index << l2Bits;
  const span = (1 as u64) << l2Bits;
  const holder = overlapping(first, span);
  if (holder >= 0) return busyWith(holder);
  const available = tokenAvailable(false);
  if (available != OK) return available;
  if (!roomForFrees(1)) return FREES_FULL;
  const code = allocate(1, u64.MAX_VALUE, FOR_L2_TABLE);
  if (code != OK) return code;
  const fresh = allocatedCluster();
  const token = takeToken(TABLE, first, fresh, span, table, -1);
  setResult(0, <f64>(fresh << clusterBits));
  setResult(1, <f64>clusterBytes);
  setResult(2, <f64>table);
  setResult(3, token);
  return INIT;
}

/** The fresh table of an INIT is on its way to disk with its content, or failed. WRITEBACK: wait, then again. */
export function qcow2_init_done(token: u32, ok: bool): i32 {
  if (!ok) {
    freeLater(tokenHost(token), 1, BY_OTHER);
    giveToken(token);
    return OK;
  }
  if (isWritingBack()) return WRITEBACK;
  const l1Index = <u32>(tokenGuest(token) >> l2Bits);
  const offset = tokenHost(token) << clusterBits;
  setL1Entry(l1Index, offset | COPIED);
  noteTable(offset);
  const old = tokenExtra(token);
  if (old) freeLater(old >> clusterBits, 1, BY_OTHER);
  giveToken(token);
  return OK;
}

/**
 * Prepares a write of `bytes` at guest offset `guest`, or of a first part of it. Record: 0 host offset of the first
 * byte, 1 bytes covered; with ALLOCATED also 2 bytes before and 3 bytes after that belong to the clusters, 4 token.
 */
export function qcow2_write_prepare(guest: f64, bytes: f64): i32 {
  const offset = <u64>guest;
  const cluster = offset >> clusterBits;
  const inCluster = offset & (clusterBytes - 1);
  const wanted = <u32>((inCluster + <u64>bytes + clusterBytes - 1) >> clusterBits);
  const slot = writableSlice(cluster);
  if (slot < 0) return slot;
  const index = indexInSlice(cluster);
  const limit = min(wanted, (entryBytes(L2) >> 3) - index);
  const entry = sliceEntry(slot, index);
  const type = checked(entry, offset);
  if (type < 0) return type;
  if (type == NORMAL && isCopied(entry)) return inPlace(slot, index, limit, entry, inCluster, <u64>bytes);

  const holder = overlapping(cluster, 1);
  if (holder >= 0) return busyWith(holder);
  const available = tokenAvailable(true);
  if (available != OK) return available;
  if (type == ZERO_ALLOC && isCopied(entry)) return reuse(slot, cluster, limit, entry, inCluster, <u64>bytes);

  let clusters: u32 = 1;
  while (clusters < limit && needsClusters(sliceEntry(slot, index + clusters), cluster + clusters))
    clusters++;
  if (!roomForFrees(roomNeeded(DATA, clusters))) return FREES_FULL;
  // Allocating may need the slot's place for another table: no L2 slot is taken by it, so the slice stays.
  const code = allocate(clusters, u64.MAX_VALUE, FOR_DATA);
  if (code != OK) return code;
  clusters = allocatedClusters();
  const host = allocatedCluster();
  const token = takeToken(DATA, cluster, host, clusters, 0, slot);
  return describe(host, clusters, inCluster, <u64>bytes, token);
}

function needsClusters(entry: u64, cluster: u64): bool {
  const type = checked(entry, 0);
  if (type < 0) return false;
  if ((type == NORMAL || type == ZERO_ALLOC) && isCopied(entry)) return false;
  return overlapping(cluster, 1) < 0;
}

function inPlace(slot: u32, index: u32, limit: u32, entry: u64, inCluster: u64, bytes: u64): i32 {
  const host = entry & OFFSET_MASK;
  let clusters: u32 = 1;
  while (clusters < limit) {
    const expected = (host + ((<u64>clusters) << clusterBits)) | COPIED;
    if (sliceEntry(slot, index + clusters) != expected) break;
    clusters++;
  }
  const covered = min(bytes, ((<u64>clusters) << clusterBits) - inCluster);
  const code = checkOverlap(host + inCluster, covered, NOTHING);
  if (code != OK) return code;
  setResult(0, <f64>(host + inCluster));
  setResult(1, <f64>covered);
  return IN_PLACE;
}

/** Clusters that are reserved for this place but read as zeros: written in place, then made visible. */
function reuse(slot: u32, cluster: u64, limit: u32, entry: u64, inCluster: u64, bytes: u64): i32 {
  const host = entry & OFFSET_MASK;
  let clusters: u32 = 1;
  while (clusters < limit) {
    const next = sliceEntry(slot, indexInSlice(cluster) + clusters);
    const expected = host + ((<u64>clusters) << clusterBits);
    if (checked(next, 0) != ZERO_ALLOC || !isCopied(next) || (next & OFFSET_MASK) != expected) break;
    if (overlapping(cluster + clusters, 1) >= 0) break;
    clusters++;
  }
  // What surrounds the data in its clusters is written along.
  const code = checkOverlap(host, (<u64>clusters) << clusterBits, NOTHING);
  if (code != OK) return code;
  const token = takeToken(REUSE, cluster, host >> clusterBits, clusters, 0, slot);
  return describe(host >> clusterBits, clusters, inCluster, bytes, token);
}

function describe(host: u64, clusters: u32, inCluster: u64, bytes: u64, token: u32): i32 {
  const total = (<u64>clusters) << clusterBits;
  const covered = min(bytes, total - inCluster);
  setResult(0, <f64>((host << clusterBits) + inCluster));
  setResult(1, <f64>covered);
  setResult(2, <f64>inCluster);
  setResult(3, <f64>(total - inCluster - covered));
  setResult(4, token);
  return ALLOCATED;
}

/** Publishes what a token reserved. WRITEBACK: a write-back is running; wait for its end, then again. */
export function qcow2_write_commit(token: u32): i32 {
  if (isWritingBack()) return WRITEBACK;
  const slot = <u32>tokenSlot(token);
  const index = indexInSlice(tokenGuest(token));
  const compressed = tokenKind(token) == COMPRESSED_DATA;
  for (let i: u32 = 0; i < <u32>tokenClusters(token); i++) {
    if (tokenKind(token) != REUSE) releaseEntry(sliceEntry(slot, index + i), BY_WRITE);
    const entry = compressed ? tokenExtra(token) : ((tokenHost(token) + i) << clusterBits) | COPIED;
    setSliceEntry(slot, index + i, entry);
  }
  giveToken(token);
  return OK;
}

/** Drops what a token reserved; the host clusters become free when the next write-back is done. */
export function qcow2_write_abort(token: u32): void {
  const kind = tokenKind(token);
  if (kind == DATA) freeLater(tokenHost(token), <u32>tokenClusters(token), BY_WRITE);
  else if (kind == COMPRESSED_DATA) releaseEntry(tokenExtra(token), BY_WRITE);
  giveToken(token);
}

export function setSliceEntry(slot: u32, index: u32, entry: u64): void {
  store<u64>(slotData(slot) + (index << 3), bswap<u64>(entry));
  markDirty(slot);
}

/** Gives up the references that an entry holds. The caller made sure of room in the list. */
export function releaseEntry(entry: u64, reason: u32): void {
  const type = checked(entry, 0);
  if (type == NORMAL || type == ZERO_ALLOC) {
    freeLater((entry & OFFSET_MASK) >> clusterBits, 1, reason);
  } else if (type == IS_COMPRESSED) {
    const first = compressedOffset(entry, clusterBits) >> clusterBits;
    // Past what the format can address: nothing has counted this reference.
    if (first >= clusterLimit) return;
    const last = (compressedEnd(entry, clusterBits) - 1) >> clusterBits;
    dropPackingCursorAt(first);
    dropPackingCursorAt(last);
    freeLater(first, <u32>(last - first + 1), reason);
  }
}
