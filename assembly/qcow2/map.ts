/**
 * Where guest bytes are (specification: qcow2, sections 3.1 to 3.6).
 */
import { ERROR_CORRUPT, getResult, setResult } from '../abi';
import {
  CORRUPT_DATA,
  CORRUPT_L2,
  CORRUPT_MAPPING,
  CORRUPT_ZERO_ALLOC,
  CORRUPT_ZERO_V2,
  corruptEntry,
  corruptTable,
} from './corruption';
import { COMPRESSED, COPIED, OFFSET_MASK, ZERO } from './entry';
import { clusterBits, clusterBytes, l1Entries, l1Entry, l2Bits, version } from './image';
import { ensure, entryBytes, L2, lookup, slotData } from './table-cache';

/** What `qcow2_map` returns, and how entries are classified. */
export const UNALLOCATED: i32 = 0;
export const NORMAL: i32 = 1;
export const ZERO_PLAIN: i32 = 2;
export const ZERO_ALLOC: i32 = 3;
export const IS_COMPRESSED: i32 = 4;

// @ts-ignore: decorator
@inline
function classify(entry: u64): i32 {
  if (entry & COMPRESSED) return IS_COMPRESSED;
  const offset = entry & OFFSET_MASK;
  if (entry & ZERO) return offset ? ZERO_ALLOC : ZERO_PLAIN;
  return offset ? NORMAL : UNALLOCATED;
}

/** Refuses entries that no valid image has; OK is UNALLOCATED or above. `guest` is for who tells of it. */
export function checked(entry: u64, guest: u64): i32 {
  const type = classify(entry);
  if (type == IS_COMPRESSED) return type;
  if (entry & ZERO && version < 3) return corruptEntry(CORRUPT_ZERO_V2, entry & OFFSET_MASK, guest);
  if (entry & OFFSET_MASK & (clusterBytes - 1)) {
    return corruptEntry(type == ZERO_ALLOC ? CORRUPT_ZERO_ALLOC : CORRUPT_DATA, entry & OFFSET_MASK, guest);
  }
  return type;
}

/** Byte offset in the file of the slice that holds the entry of guest cluster `cluster` in the table at `table`. */
// @ts-ignore: decorator
@inline
export function sliceOffset(table: u64, cluster: u64): u64 {
  const inTable = (cluster & (((1 as u64) << l2Bits) - 1)) << 3;
  return table + (inTable & ~(<u64>entryBytes(L2) - 1));
}

// @ts-ignore: decorator
@inline
export function indexInSlice(cluster: u64): u32 {
  return (<u32>cluster) & ((entryBytes(L2) >> 3) - 1);
}

// @ts-ignore: decorator
@inline
export function sliceEntry(slot: u32, index: u32): u64 {
  return bswap<u64>(load<u64>(slotData(slot) + (index << 3)));
}

/**
 * Maps `bytes` at guest offset `guest`: returns the type; record 0 the host offset of the first byte (NORMAL,
 * ZERO_ALLOC), record 1 the bytes that are of the same kind and contiguous, record 2 the entry's low and record 5 its
 * high half (compressed). Stops at the end of what is in the cache: the caller goes on from there.
 */
export function qcow2_map(guest: f64, bytes: f64): i32 {
  const offset = <u64>guest;
  const wanted = <u64>bytes;
  let cluster = offset >> clusterBits;
  const inCluster = offset & (clusterBytes - 1);
  const l1Index = cluster >> l2Bits;
  const table = l1Index < l1Entries ? l1Entry(<u32>l1Index) & OFFSET_MASK : 0;
  if (!table) {
    setResult(1, <f64>min(wanted, unmappedBytes(l1Index, offset, wanted)));
    return UNALLOCATED;
  }
  if (table & (clusterBytes - 1)) return corruptTable(CORRUPT_L2, table, l1Index);
  const slice = sliceOffset(table, cluster);
  let slot = lookup(L2, slice);
  if (slot < 0) {
    slot = ensure(L2, slice);
    if (slot < 0) return slot;
  }
  const entries: u32 = entryBytes(L2) >> 3;
  let index = indexInSlice(cluster);
  const entry = sliceEntry(slot, index);
  const type = checked(entry, offset);
  if (type == ERROR_CORRUPT) {
    if (getResult(4) != CORRUPT_ZERO_V2) setResult(4, CORRUPT_MAPPING);
    return type;
  }
  const host = entry & OFFSET_MASK;
  let length = clusterBytes - inCluster;
  if (type == IS_COMPRESSED) {
    setResult(2, <f64>(entry & 0xffffffff));
    setResult(5, <f64>(entry >> 32));
  } else {
    setResult(0, <f64>(host + (host ? inCluster : 0)));
    const step = host ? clusterBytes : 0;
    let expected = host + step;
    while (length < wanted && ++index < entries) {
      const next = sliceEntry(slot, index);
      if (classify(next) != type || (next & OFFSET_MASK) != expected) break;
      expected += step;
      length += clusterBytes;
    }
  }
  setResult(1, <f64>min(wanted, length));
  return type;
}

/** Bytes from `offset` to the first L2 table, at least to the end of this L1 entry's range. */
function unmappedBytes(l1Index: u64, offset: u64, wanted: u64): u64 {
  const shift = <u64>(clusterBits + l2Bits);
  let next = l1Index + 1;
  while ((next << shift) - offset < wanted && next < l1Entries && !(l1Entry(<u32>next) & OFFSET_MASK)) next++;
  if (next >= l1Entries) return max(wanted, (next << shift) - offset);
  return (next << shift) - offset;
}

/** Whether a cluster with this entry may be overwritten in place. */
// @ts-ignore: decorator
@inline
export function isCopied(entry: u64): bool {
  return (entry & COPIED) != 0;
}
