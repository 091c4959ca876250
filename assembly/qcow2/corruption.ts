/**
 * What can be wrong with an image so that it takes no more writes (specification: qcow2, section 10.7). A step that finds
 * it returns ERROR_CORRUPT, with the kind in record 4 and the offset in record 0. Words are the host's
 * (host/formats/qcow2/live/corruption-texts.ts).
 */
import { ERROR_CORRUPT, setResult } from '../abi';
import { OFFSET_MASK } from './entry';
import { clusterBits, l1Entry, l2Bits } from './image';

/** Record 5 the index in the refcount table, or in the L1 table. */
export const CORRUPT_REFBLOCK: f64 = 1;
export const CORRUPT_L2: f64 = 2;
/** This one, 6, 7 and 9: record 1 the guest offset, 2 the L2 table, 5 the index in it. */
export const CORRUPT_DATA: f64 = 3;
/** Record 1 the bytes, 5 the class of metadata in the way. */
export const CORRUPT_OVERLAP: f64 = 4;
export const CORRUPT_REFCOUNT: f64 = 5;
export const CORRUPT_ZERO_V2: f64 = 6;
export const CORRUPT_ZERO_ALLOC: f64 = 7;
/** The header's cluster counts as free. Record 5 what it was to be taken for. */
export const CORRUPT_ALLOCATION: f64 = 8;
/** As 3 and 7, of a cluster that is read. */
export const CORRUPT_MAPPING: f64 = 9;

export function corrupt(kind: f64, offset: u64): i32 {
  setResult(0, <f64>offset);
  setResult(4, kind);
  return ERROR_CORRUPT;
}

export function corruptTable(kind: f64, offset: u64, index: u64): i32 {
  setResult(5, <f64>index);
  return corrupt(kind, offset);
}

/** An entry of an active L2 table: that of guest offset `guest`. */
export function corruptEntry(kind: f64, offset: u64, guest: u64): i32 {
  const cluster = guest >> clusterBits;
  setResult(1, <f64>guest);
  setResult(2, <f64>(l1Entry(<u32>(cluster >> l2Bits)) & OFFSET_MASK));
  return corruptTable(kind, offset, cluster & (((1 as u64) << l2Bits) - 1));
}
