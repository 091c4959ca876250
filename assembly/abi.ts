/**
 * What crosses the boundary between a step and the host: the code it returns and the record it leaves.
 *
 * A step returns a code ≥ 0 when it finished, one of `NEED` to `FREES_FULL` when the host must do something first and call
 * it again, or one of the errors. Waiting, it has changed no table; what it keeps is a slot that the table is loaded into
 * (NEED) or a token (INIT). Details are in the result record, 16 numbers of 8 bytes each at a fixed address: byte
 * offsets and lengths as f64, exact below 2^53.
 */

export const OK: i32 = 0;

/** A table must be loaded: record 0 file offset, 1 bytes, 2 address, 3 slot. */
export const NEED: i32 = -1;
/** Another request is loading that table: record 3 slot. */
export const LOADING: i32 = -2;
/** Another request holds the range: record 0 token. */
export const BUSY: i32 = -3;
/** Tables must be written back first. */
export const WRITEBACK: i32 = -4;
/** A fresh table must be written first: record 0 file offset, 1 bytes, 2 source offset or 0, 3 token. */
export const INIT: i32 = -5;
/** The refcount table must grow first: record 0 the index it must reach. */
export const GROW_TABLE: i32 = -6;
/** Too many references wait to be counted down: write back, then count down. */
export const FREES_FULL: i32 = -7;

/** The image is damaged: record 0 file offset, 4 kind (qcow2/corruption.ts). */
export const ERROR_CORRUPT: i32 = -16;
export const ERROR_NO_SPACE: i32 = -17;
export const ERROR_TOO_BIG: i32 = -18;
export const ERROR_INVALID: i32 = -19;
export const ERROR_IO: i32 = -20;

const RECORD_FIELDS = 16;
const record: usize = memory.data(RECORD_FIELDS * 8, 8);

/** Address of the result record. */
export function result_record(): usize {
  return record;
}

// @ts-ignore: decorator
@inline
export function setResult(field: usize, value: f64): void {
  store<f64>(record + (field << 3), value);
}

// @ts-ignore: decorator
@inline
export function getResult(field: usize): f64 {
  return load<f64>(record + (field << 3));
}
