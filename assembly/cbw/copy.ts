/**
 * Steps of copying: find and reserve what is next, end it, and ask whether a write may pass.
 *
 * Clusters handed out are whole, but for the last one, which ends where the image ends. `maxBytes` below a cluster
 * means one cluster.
 */
import { BUSY, ERROR_INVALID, getResult, OK, setResult } from '../abi';
import { bitmap_reset, bitmap_set } from '../bitmap/change';
import { nextClear, nextSet } from '../bitmap/find';
import { ALL, bitCount, clippedEnd, granularityBits, sizeOf } from '../bitmap/layout';
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

/** There is something to copy. */
const COPY: i32 = 1;

/**
 * Reserves the first run in the range that is to be copied and in nobody's hands, at most `maxBytes` of it.
 *
 * COPY: record 0 token, 1 offset, 2 bytes. OK: nothing is left to copy in the range, nor being copied. BUSY: what is
 * left is being copied, or too many tasks run; record 0 is the token of the task to wait for.
 */
export function cbw_begin_copy(state: usize, offset: f64, bytes: f64, maxBytes: f64): i32 {
  const code = cbw_next(state, offset, bytes, maxBytes);
  if (code != COPY) return code;
  const start = getResult(1);
  const length = getResult(2);
  const slot = addTask(state, TASK_COPY, <u64>start, <u64>(start + length));
  if (slot == NO_TASK) {
    setResult(0, 0);
    return BUSY;
  }
  bitmap_reset(bitmapOf(state), start, length);
  setResult(0, <f64>slot);
  return COPY;
}

/** As cbw_begin_copy, but only looks: nothing is reserved and there is no token in a COPY answer. */
export function cbw_next(state: usize, offset: f64, bytes: f64, maxBytes: f64): i32 {
  const bitmap = bitmapOf(state);
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return OK;
  const endBit: u64 = ((end - 1) >> shift) + 1;
  const maxBits: u64 = max<u64>(1, (<u64>(<i64>maxBytes)) >> shift);
  let blocking = NO_TASK;
  let bit = start >> shift;
  // Not for (;;): the compiler takes what follows such a loop for unreachable when it ends by a break before a continue.
  while (bit < endBit) {
    bit = nextSet(bitmap, bit);
    if (bit == ALL || bit >= endBit) break;
    const last = nextClear(bitmap, bit, min<u64>(endBit, bit + maxBits));
    const task = taskIn(state, TASK_COPY, bit << shift, last << shift);
    if (task != NO_TASK && taskStart(state, task) <= bit << shift) {
      // Became dirty again while it is being copied.
      if (blocking == NO_TASK) blocking = task;
      bit = (taskEnd(state, task) + (((<u64>1) << shift) - 1)) >> shift;
      if (bit >= bitCount(bitmap)) break;
      continue;
    }
    const stop = task == NO_TASK ? last << shift : taskStart(state, task);
    const first: u64 = bit << shift;
    setResult(1, <f64>(<i64>first));
    setResult(2, <f64>(<i64>(min<u64>(stop, sizeOf(bitmap)) - first)));
    return COPY;
  }
  if (blocking == NO_TASK) blocking = taskIn(state, TASK_COPY, start, end);
  if (blocking == NO_TASK) return OK;
  setResult(0, <f64>blocking);
  return BUSY;
}

/** Ends a copy. Not `copied`: its clusters are to be copied again. ERROR_INVALID: no such task. */
export function cbw_end_copy(state: usize, token: u32, copied: bool): i32 {
  if (taskKind(state, token) != TASK_COPY) return ERROR_INVALID;
  const start = taskStart(state, token);
  if (!copied) bitmap_set(bitmapOf(state), <f64>(<i64>start), <f64>(<i64>(taskEnd(state, token) - start)));
  removeTask(state, token);
  return OK;
}

/**
 * Whether a write may pass. OK: it may. COPY: clusters in the range are to be copied first. BUSY: record 0 is the token
 * of a copy or a reader to wait for.
 */
export function cbw_check_write(state: usize, offset: f64, bytes: f64): i32 {
  const bitmap = bitmapOf(state);
  const shift = granularityBits(bitmap);
  const start: u64 = <u64>(<i64>offset);
  const end: u64 = clippedEnd(bitmap, offset + bytes);
  if (start >= end) return OK;
  const bit = nextSet(bitmap, start >> shift);
  if (bit != ALL && bit << shift < end) return COPY;
  // Tasks are on whole clusters, so that the range need not be widened.
  const task = taskIn(state, TASK_COPY | TASK_READ, start, end);
  if (task == NO_TASK) return OK;
  setResult(0, <f64>task);
  return BUSY;
}
