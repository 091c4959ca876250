/**
 * Steps of reading the point in time back: clusters not copied yet are read where they always were, and frozen there
 * until the reader has them; copied ones are read from the copy.
 *
 * Clusters that were clean from the start look like copied ones; which these are is the host's to know.
 */
import { BUSY, ERROR_INVALID, OK, setResult } from '../abi';
import { nextClear, nextSet } from '../bitmap/find';
import { ALL, clippedEnd, granularityBits } from '../bitmap/layout';
import {
  addTask,
  bitmapOf,
  NO_TASK,
  removeTask,
  TASK_COPY,
  TASK_READ,
  taskEnd,
  taskIn,
  taskKind,
  taskStart,
} from './state';

/** The source still holds it. */
const FROM_SOURCE: i32 = 1;

/**
 * Where to read the first part of the range. OK: from the copy, record 1 bytes. FROM_SOURCE: record 0 token of the
 * freeze, 1 bytes. BUSY: too many tasks run; record 0 is the token of one.
 */
export function cbw_begin_read(state: usize, offset: f64, bytes: f64): i32 {
  const bitmap = bitmapOf(state);
  const shift = granularityBits(bitmap);
  const cluster: u64 = (<u64>1) << shift;
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) {
    setResult(1, 0);
    return OK;
  }
  const set = nextSet(bitmap, start >> shift);
  const dirty: u64 = set == ALL ? end : min<u64>(end, set << shift);
  const task = taskIn(state, TASK_COPY, start, end);
  const held: u64 = task == NO_TASK ? end : taskStart(state, task);
  if (min<u64>(dirty, held) > start) {
    setResult(1, <f64>(<i64>(min<u64>(dirty, held) - start)));
    return OK;
  }
  const stop: u64 =
    held <= start
      ? min<u64>(end, taskEnd(state, task))
      : min<u64>(end, nextClear(bitmap, set, ((end - 1) >> shift) + 1) << shift);
  const slot = addTask(state, TASK_READ, start & ~(cluster - 1), (stop + cluster - 1) & ~(cluster - 1));
  if (slot == NO_TASK) {
    setResult(0, 0);
    return BUSY;
  }
  setResult(0, <f64>slot);
  setResult(1, <f64>(<i64>(stop - start)));
  return FROM_SOURCE;
}

/** Ends a freeze. ERROR_INVALID: no such task. */
export function cbw_end_read(state: usize, token: u32): i32 {
  if (taskKind(state, token) != TASK_READ) return ERROR_INVALID;
  removeTask(state, token);
  return OK;
}

/** Whether somebody reads any of the range where a write would spoil it. OK: nobody; BUSY: record 0 is a reader's token. */
export function cbw_reader_in(state: usize, offset: f64, bytes: f64): i32 {
  const end: u64 = clippedEnd(bitmapOf(state), offset + bytes);
  const task = taskIn(state, TASK_READ, <u64>(<i64>offset), end);
  if (task == NO_TASK) return OK;
  setResult(0, <f64>task);
  return BUSY;
}
