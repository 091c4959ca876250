/**
 * Clusters that lost a reference, waiting for that to be durable.
 *
 * A refcount is decremented only after the L2 entry, L1 entry or header that gave the reference up is on disk; until
 * then the cluster stays counted and so is not handed out. Refcount blocks therefore never run behind the tables that
 * rely on them, and a write-back can always write them first. The list is bounded: a step that might need room for
 * more makes the host write back instead (specification: qcow2, sections 2.4 and 4.7).
 *
 * | at | entry: a run of clusters, each to be decremented by one |
 * |----|---------------------------------------------------------|
 * | 0  | u64 first cluster                                       |
 * | 8  | u32 clusters                                            |
 * | 12 | u32 why: the host decides by it what becomes of the space |
 */
import { allocate } from '../memory';

const FIRST: usize = 0;
const CLUSTERS: usize = 8;
const REASON: usize = 12;
const ENTRY_BYTES: u32 = 16;

/** Why a cluster loses its reference, as far as the host wants to know. */
export const BY_REQUEST: u32 = 1;
/** Whatever is asked of it otherwise, the space is given back: of a disk that became smaller, of a bitmap that is gone. */
export const ALWAYS: u32 = 2;
export const BY_SNAPSHOT: u32 = 3;
/** Metadata that was replaced: L1, L2 and refcount tables, what the host laid out. */
export const BY_OTHER: u32 = 4;
/** Replaced by an allocating write, or allocated for one that failed: its space is kept for the next. */
export const BY_WRITE: u32 = 0;

/** Kept for the few rare steps that free one run and cannot be refused: a table that moved. */
const SPARE: u32 = 64;

let entries: usize = 0;
let capacity: u32 = 0;
/** Ring: `head` is the oldest entry, of which `taken` clusters are done. */
let head: u32 = 0;
let count: u32 = 0;
let taken: u32 = 0;
/** Entries from the head on whose removal is durable. */
let durable: u32 = 0;
let reserved: u32 = 0;

export function qcow2_init_frees(room: u32): void {
  capacity = room;
  entries = allocate(room * ENTRY_BYTES, 8);
}

// @ts-ignore: decorator
@inline
function entryAt(index: u32): usize {
  let at = head + index;
  if (at >= capacity) at -= capacity;
  return entries + at * ENTRY_BYTES;
}

export function roomForFrees(needed: u32): bool {
  return capacity - count - reserved >= needed + SPARE;
}

/** Keeps room for a step that comes later and cannot be refused then. */
export function reserveFrees(room: u32): void {
  reserved += room;
}

export function unreserveFrees(room: u32): void {
  reserved -= room;
}

/** Adds a run; the caller made sure of room for one entry. */
export function freeLater(cluster: u64, clusters: u32, reason: u32): void {
  // A run that is already on its way to being freed is not extended: its new part is not durable yet.
  if (count > durable && count > 0) {
    const last = entryAt(count - 1);
    const merged = load<u64>(last, FIRST) + <u64>load<u32>(last, CLUSTERS);
    if (merged == cluster && load<u32>(last, REASON) == reason && !(count == 1 && taken > 0)) {
      store<u32>(last, load<u32>(last, CLUSTERS) + clusters, CLUSTERS);
      return;
    }
  }
  const at = entryAt(count++);
  store<u64>(at, cluster, FIRST);
  store<u32>(at, clusters, CLUSTERS);
  store<u32>(at, reason, REASON);
}

export function pendingFrees(): u32 {
  return count;
}

/** The removals of the first `entries` entries are on disk. */
export function freesDurable(upTo: u32): void {
  durable = max(durable, min(upTo, count));
}

export function hasDurableFrees(): bool {
  return durable > 0;
}

/** The next cluster that may be decremented; only with `hasDurableFrees`. */
export function nextFree(): u64 {
  const at = entryAt(0);
  return load<u64>(at, FIRST) + taken;
}

export function nextFreeReason(): u32 {
  return load<u32>(entryAt(0), REASON);
}

/** The cluster from `nextFree` is done. */
export function freeDone(): void {
  const at = entryAt(0);
  if (++taken < load<u32>(at, CLUSTERS)) return;
  taken = 0;
  head = head + 1 == capacity ? 0 : head + 1;
  count--;
  durable--;
}
