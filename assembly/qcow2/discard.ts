/**
 * Discard and write-zeroes of whole clusters: only the mapping changes (specification: qcow2, sections 4.3 and 4.4).
 */
import { FREES_FULL, OK, setResult, WRITEBACK } from '../abi';
import { releaseEntry, setSliceEntry, writableSlice } from './allocate';
import { COPIED, OFFSET_MASK, ZERO } from './entry';
import { clusterBits, l1Entries, l1Entry, l2Bits, setL1Entry, version } from './image';
import { checked, indexInSlice, IS_COMPRESSED, NORMAL, sliceEntry, UNALLOCATED, ZERO_PLAIN } from './map';
import { BY_REQUEST, ALWAYS, BY_WRITE, freeLater, roomForFrees } from './pending-free';
import { entryBytes, L2 } from './table-cache';
import { busyWith, overlapping } from './tokens';
import { isWritingBack } from './writeback-state';

/** Modes. */
/** Guest discard: what was there reads as zeros afterwards and hides the backing file. */
const DISCARD: u32 = 0;
/** Zeros; the space stays reserved. */
const KEEP: u32 = 1;
/** Zeros; the space is given back. */
const UNMAP: u32 = 2;
/** The backing file shows through again: shrinking. */
const FULL: u32 = 3;
/** Guest discard; the space stays reserved. */
const DISCARD_KEEPING: u32 = 4;

// @ts-ignore: decorator
@inline
function isDiscard(mode: u32): bool {
  return mode == DISCARD || mode == DISCARD_KEEPING;
}

/**
 * Changes the mapping of up to `clusters` clusters from guest cluster `first` on; record 0 how many were done, record 1
 * whether nothing else refers to what they were mapped to, which is the same for all. With `hasBacking`, clusters that are
 * not mapped here have content too.
 */
export function qcow2_unmap(first: f64, clusters: f64, mode: u32, hasBacking: bool): i32 {
  const cluster = <u64>first;
  const wanted = <u64>clusters;
  const l1Index = cluster >> l2Bits;
  const unmapped = l1Index >= l1Entries || !(l1Entry(<u32>l1Index) & OFFSET_MASK);
  if (unmapped && (mode == FULL || (isDiscard(mode) && !hasBacking))) {
    setResult(0, <f64>min(wanted, ((l1Index + 1) << l2Bits) - cluster));
    setResult(1, 0);
    return OK;
  }
  if (isWritingBack()) return WRITEBACK;
  const slot = writableSlice(cluster);
  if (slot < 0) return slot;
  const index = indexInSlice(cluster);
  const limit = <u32>min(wanted, <u64>((entryBytes(L2) >> 3) - index));
  let done: u32 = 0;
  let copied: u64 = 0;
  while (done < limit) {
    const holder = overlapping(cluster + done, 1);
    if (holder >= 0) {
      if (done) break;
      return busyWith(holder);
    }
    if (!roomForFrees(2)) {
      if (done) break;
      return FREES_FULL;
    }
    const entry = sliceEntry(slot, index + done);
    if (done && (entry & COPIED) != copied) break;
    copied = entry & COPIED;
    const type = checked(entry, (cluster + done) << clusterBits);
    if (type < 0) return type;
    change(slot, index + done, entry, type, mode, hasBacking);
    done++;
  }
  setResult(0, done);
  setResult(1, copied ? 1 : 0);
  return OK;
}

function change(slot: u32, index: u32, entry: u64, type: i32, mode: u32, hasBacking: bool): void {
  const keeps = mode == KEEP || mode == DISCARD_KEEPING;
  if (keeps && type != IS_COMPRESSED && type != UNALLOCATED && type != ZERO_PLAIN) {
    if (type == NORMAL) setSliceEntry(slot, index, (entry & (OFFSET_MASK | COPIED)) | ZERO);
    return;
  }
  let replaced: u64 = ZERO;
  if (mode == FULL || (mode == DISCARD && version < 3)) replaced = 0;
  if (isDiscard(mode) && type == UNALLOCATED && !hasBacking) return;
  if (entry == replaced) return;
  releaseEntry(entry, mode == FULL ? ALWAYS : mode == KEEP ? BY_WRITE : BY_REQUEST);
  setSliceEntry(slot, index, replaced);
}

/**
 * Takes L1 entry `index`, whose table maps nothing any more, out of the active tree; its table is freed when that is
 * durable. The header still counts the entry.
 */
export function qcow2_drop_table(index: u32): i32 {
  if (isWritingBack()) return WRITEBACK;
  const table = l1Entry(index) & OFFSET_MASK;
  if (!table) return OK;
  if (!roomForFrees(1)) return FREES_FULL;
  setL1Entry(index, 0);
  freeLater(table >> clusterBits, 1, ALWAYS);
  return OK;
}
