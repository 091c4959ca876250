/**
 * The state of one copy-before-write: which clusters of a point in time are still to be copied, which are being copied,
 * and which somebody reads from where a write would spoil them.
 *
 * Guest writes and the background job take their work from the same state, so no cluster is copied twice:
 *
 * | cluster      | in the bitmap | in a task | a write of the guest                         |
 * | ------------ | ------------- | --------- | -------------------------------------------- |
 * | to copy      | set           | no        | has to copy it first                         |
 * | being copied | clear         | copy      | waits for that task                          |
 * | copied       | clear         | no        | passes                                       |
 * | any of these | any           | read      | waits for that task as well                  |
 *
 * Always: copy tasks are disjoint. A set bit inside a copy task means that it became dirty again; it is to be copied
 * after that task. The state is the address of a header; the table of tasks follows it.
 *
 * | offset       | type        | field                                             |
 * | ------------ | ----------- | ------------------------------------------------- |
 * | 0            | u32         | handle of the bitmap, a bit per cluster           |
 * | 4            | u32         | tasks: one past the highest slot in use           |
 * | 8            | u64         | bytes being copied, in whole clusters             |
 * | 16 + 24 slot | u64 u64 u32 | start and end of the task in bytes, and its kind  |
 *
 * Not here: where copies go, and waiting. A token is a slot; it is free for the next task once its task has ended.
 */
import { ERROR_INVALID } from '../abi';
import { bitmap_init, granularityBits } from '../bitmap/layout';
import { allocate } from '../memory';

/** Tasks at a time; one that would be more is told to wait for another. */
const MAX_TASKS: u32 = 256;
const HEADER_BYTES: usize = 16;
const TASK_BYTES: usize = 24;

const TASK_FREE: u32 = 0;
export const TASK_COPY: u32 = 1;
export const TASK_READ: u32 = 2;

/** What no slot is. */
export const NO_TASK: u32 = 0xffff_ffff;

// @ts-ignore: decorator
@inline
export function bitmapOf(state: usize): usize {
  return load<u32>(state);
}

// @ts-ignore: decorator
@inline
function taskAddress(state: usize, slot: u32): usize {
  return state + HEADER_BYTES + <usize>slot * TASK_BYTES;
}

// @ts-ignore: decorator
@inline
export function taskStart(state: usize, slot: u32): u64 {
  return load<u64>(taskAddress(state, slot));
}

// @ts-ignore: decorator
@inline
export function taskEnd(state: usize, slot: u32): u64 {
  return load<u64>(taskAddress(state, slot), 8);
}

/** Makes the state for `size` bytes, nothing to be copied yet. Returns its handle, ERROR_INVALID as bitmap_init. */
export function cbw_init(size: f64, clusterBits: u32): i32 {
  const bitmap = bitmap_init(size, size, clusterBits);
  if (bitmap == ERROR_INVALID) return ERROR_INVALID;
  const state = allocate(HEADER_BYTES + <usize>MAX_TASKS * TASK_BYTES, 16);
  store<u32>(state, bitmap);
  return <i32>state;
}

/** The bitmap of what is to be copied; the host sets it up with the steps of bitmap/. */
export function cbw_bitmap(state: usize): usize {
  return bitmapOf(state);
}

/** Bytes being copied, in whole clusters. */
export function cbw_copying_bytes(state: usize): f64 {
  return <f64>(<i64>load<u64>(state, 8));
}

/** The kind of the task in a slot; TASK_FREE for a slot that is none. */
export function taskKind(state: usize, slot: u32): u32 {
  return slot < MAX_TASKS ? load<u32>(taskAddress(state, slot), 16) : TASK_FREE;
}

/** Takes a slot for a task on [start, end), or NO_TASK when all are in use. */
export function addTask(state: usize, kind: u32, start: u64, end: u64): u32 {
  let slot: u32 = 0;
  while (slot < MAX_TASKS && taskKind(state, slot) != TASK_FREE) slot++;
  if (slot == MAX_TASKS) return NO_TASK;
  const task = taskAddress(state, slot);
  store<u64>(task, start);
  store<u64>(task, end, 8);
  store<u32>(task, kind, 16);
  store<u32>(state, max<u32>(load<u32>(state, 4), slot + 1), 4);
  if (kind == TASK_COPY) addCopying(state, wholeClusters(state, end - start));
  return slot;
}

export function removeTask(state: usize, slot: u32): void {
  if (taskKind(state, slot) == TASK_COPY) {
    addCopying(state, 0 - wholeClusters(state, taskEnd(state, slot) - taskStart(state, slot)));
  }
  store<u32>(taskAddress(state, slot), TASK_FREE, 16);
  let used = load<u32>(state, 4);
  while (used > 0 && taskKind(state, used - 1) == TASK_FREE) used--;
  store<u32>(state, used, 4);
}

/** The task of one of `kinds` (TASK_COPY | TASK_READ) in [start, end) that begins first, or NO_TASK. */
export function taskIn(state: usize, kinds: u32, start: u64, end: u64): u32 {
  const used = load<u32>(state, 4);
  let found = NO_TASK;
  for (let slot: u32 = 0; slot < used; slot++) {
    if ((taskKind(state, slot) & kinds) == 0) continue;
    if (taskStart(state, slot) >= end || taskEnd(state, slot) <= start) continue;
    if (found == NO_TASK || taskStart(state, slot) < taskStart(state, found)) found = slot;
  }
  return found;
}

/** Widens to clusters: the last one may reach past the end of the image. */
function wholeClusters(state: usize, bytes: u64): u64 {
  const cluster: u64 = (<u64>1) << granularityBits(bitmapOf(state));
  return (bytes + cluster - 1) & ~(cluster - 1);
}

function addCopying(state: usize, change: u64): void {
  store<u64>(state, load<u64>(state, 8) + change, 8);
}
