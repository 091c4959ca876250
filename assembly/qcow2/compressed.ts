/**
 * Compressed writes: a stream goes to any byte offset, several share host clusters (specification: qcow2, section 9).
 */
import { ERROR_INVALID, ERROR_IO, FREES_FULL, getResult, NEED, OK, setResult } from '../abi';
import { packingCursor, setPackingCursor } from './compressed-cursor';
import { ALLOCATED, writableSlice } from './allocate';
import { compressedEntry, compressedOffsetBits } from './entry';
import { clusterBits, clusterBytes } from './image';
import { checked, indexInSlice, sliceEntry, UNALLOCATED, ZERO_PLAIN } from './map';
import { roomForFrees } from './pending-free';
import { checkOverlap, NOTHING } from './overlap-check';
import { allocate, allocatedCluster, FOR_COMPRESSED_DATA, increment } from './refcount';
import { qcow2_table_failed } from './table-cache';
import { busyWith, COMPRESSED_DATA, overlapping, takeToken, tokenAvailable } from './tokens';

/**
 * Reserves room for a stream of `bytes` that holds the guest cluster at `guest`: record 0 host offset, 4 token; commit
 * and abort as for any write. ERROR_IO: the cluster has data already, which a compressed write never replaces.
 */
export function qcow2_compressed_prepare(guest: f64, bytes: u32): i32 {
  const cluster = (<u64>guest) >> clusterBits;
  const slot = writableSlice(cluster);
  if (slot < 0) return slot;
  const type = checked(sliceEntry(slot, indexInSlice(cluster)), <u64>guest);
  if (type < 0) return type;
  const holder = overlapping(cluster, 1);
  if (holder >= 0) return busyWith(holder);
  if (type != UNALLOCATED && type != ZERO_PLAIN) return ERROR_IO;
  const available = tokenAvailable(true);
  if (available != OK) return available;
  if (!roomForFrees(1)) return FREES_FULL;
  const limit = (1 as u64) << min(56, compressedOffsetBits(clusterBits));
  const code = place(bytes, limit >> clusterBits);
  if (code != OK) return code;
  const host = packingCursor() - bytes;
  const entry = compressedEntry(host, bytes, clusterBits);
  const token = takeToken(COMPRESSED_DATA, cluster, 0, 1, entry, slot);
  setResult(0, <f64>host);
  setResult(4, token);
  return ALLOCATED;
}

/** Moves the cursor past room for `bytes` and counts the reference in every cluster touched. */
function place(bytes: u32, limit: u64): i32 {
  const cursor = packingCursor();
  const used = cursor & (clusterBytes - 1);
  if (cursor && used) {
    // The rest of the cluster that the cursor is in; a new one is checked when it is allocated.
    const code = checkOverlap(cursor, clusterBytes - used, NOTHING);
    if (code != OK) return code;
  }
  if (cursor && used && used + bytes <= clusterBytes) {
    const code = increment(cursor >> clusterBits);
    if (code == OK) setPackingCursor(cursor + bytes);
    // With a count that is full the stream goes to a cluster of its own.
    if (code != ERROR_INVALID) return code;
  }
  const code = allocate(1, limit, FOR_COMPRESSED_DATA);
  if (code != OK) return code;
  const fresh = allocatedCluster() << clusterBits;
  if (cursor && used && fresh == cursor - used + clusterBytes) {
    const joined = increment(cursor >> clusterBits);
    if (joined == OK) {
      setPackingCursor(cursor + bytes);
      return OK;
    }
    // Not worth waiting for: the tail is wasted, and the slot taken for loading is given back.
    if (joined == NEED) qcow2_table_failed(<u32>getResult(3));
  }
  setPackingCursor(fresh + bytes);
  return OK;
}
