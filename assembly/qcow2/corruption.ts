/**
 * What can be wrong with an image so that it takes no more writes (specification: qcow2, section 10.7). A step that finds
 * it returns ERROR_CORRUPT, with the kind in record 4 and the offset in record 0. Words are the host's
 * (host/formats/qcow2/live/corruption.ts).
 */
import { ERROR_CORRUPT, setResult } from '../abi';

export const CORRUPT_REFBLOCK: f64 = 1;
export const CORRUPT_L2: f64 = 2;
export const CORRUPT_DATA: f64 = 3;
/** Record 1 the bytes, 5 the class of metadata in the way. */
export const CORRUPT_OVERLAP: f64 = 4;
export const CORRUPT_REFCOUNT: f64 = 5;
export const CORRUPT_ZERO_V2: f64 = 6;
export const CORRUPT_ZERO_ALLOC: f64 = 7;
/** The header's cluster counts as free. Record 5 what it was to be taken for. */
export const CORRUPT_ALLOCATION: f64 = 8;

export function corrupt(kind: f64, offset: u64): i32 {
  setResult(0, <f64>offset);
  setResult(4, kind);
  return ERROR_CORRUPT;
}
