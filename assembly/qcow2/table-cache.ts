/**
 * The cache of L2 slices and refcount blocks: two kinds of table in one set of slots.
 *
 * A slot holds one table of its kind, found by its file offset through a hash. A slot that is dirty, pinned, being
 * loaded or being written is never reused; among the others the clock hand picks one that was not used lately.
 *
 * | at | slot field                                    |
 * |----|-----------------------------------------------|
 * | 0  | u64 file offset, 0 when empty                 |
 * | 8  | u32 state: the flags below                    |
 * | 12 | u32 pins                                      |
 * | 16 | u32 next slot in the hash chain, + 1          |
 * | 20 | u32 used since the clock hand last came by    |
 */
import { BUSY, LOADING, NEED, setResult, WRITEBACK } from '../abi';
import { allocate } from '../memory';

/** Kinds of table. */
export const L2: u32 = 0;
export const BLOCK: u32 = 1;

const VALID: u32 = 1;
const IS_LOADING: u32 = 2;
const DIRTY: u32 = 4;
const WRITING: u32 = 8;

const OFFSET: usize = 0;
const STATE: usize = 8;
const PINS: usize = 12;
const NEXT: usize = 16;
const USED: usize = 20;
const SLOT_BYTES: u32 = 24;

let slots: usize = 0;
let buckets: usize = 0;
let bucketMask: u32 = 0;

let l2Slots: u32 = 0;
let blockSlots: u32 = 0;
let l2EntryBits: u32 = 16;
let blockEntryBits: u32 = 16;
let l2Data: usize = 0;
let blockData: usize = 0;
let l2Hand: u32 = 0;
let blockHand: u32 = 0;
let dirtyCount: u32 = 0;

/** `l2Bits`, `blockBits`: log2 of the bytes in one entry of each kind. */
export function qcow2_init_cache(l2Count: u32, l2Bits: u32, blockCount: u32, blockBits: u32): void {
  l2Slots = l2Count;
  blockSlots = blockCount;
  l2EntryBits = l2Bits;
  blockEntryBits = blockBits;
  const total = l2Count + blockCount;
  slots = allocate(total * SLOT_BYTES, 8);
  let size: u32 = 16;
  while (size < total * 2) size <<= 1;
  bucketMask = size - 1;
  buckets = allocate(size << 2, 8);
  l2Data = allocate(l2Count << l2Bits, 4096);
  blockData = allocate(blockCount << blockBits, 4096);
}

// @ts-ignore: decorator
@inline
function slotAt(slot: u32): usize {
  return slots + slot * SLOT_BYTES;
}

// @ts-ignore: decorator
@inline
function state(slot: u32): u32 {
  return load<u32>(slotAt(slot), STATE);
}

// @ts-ignore: decorator
@inline
function setState(slot: u32, value: u32): void {
  store<u32>(slotAt(slot), value, STATE);
}

// @ts-ignore: decorator
@inline
function kindOf(slot: u32): u32 {
  return slot < l2Slots ? L2 : BLOCK;
}

/** Bytes of one entry of a kind. */
export function entryBytes(kind: u32): u32 {
  return 1 << (kind == L2 ? l2EntryBits : blockEntryBits);
}

/** Where the table in a slot is in memory. */
// @ts-ignore: decorator
@inline
export function slotData(slot: u32): usize {
  return slot < l2Slots ? l2Data + (slot << l2EntryBits) : blockData + ((slot - l2Slots) << blockEntryBits);
}

export function slotOffset(slot: u32): u64 {
  return load<u64>(slotAt(slot), OFFSET);
}

// @ts-ignore: decorator
@inline
function bucketOf(offset: u64): usize {
  const hash = <u32>(((offset >> 9) * 0x9e3779b97f4a7c15) >> 40);
  return buckets + ((hash & bucketMask) << 2);
}

/** The slot that holds the table, loaded or not, or -1. */
function find(kind: u32, offset: u64): i32 {
  let next = load<u32>(bucketOf(offset));
  while (next) {
    const slot = next - 1;
    if (load<u64>(slotAt(slot), OFFSET) == offset && kindOf(slot) == kind) return <i32>slot;
    next = load<u32>(slotAt(slot), NEXT);
  }
  return -1;
}

/** The slot of a loaded table, or -1. Marks it used. */
export function lookup(kind: u32, offset: u64): i32 {
  const slot = find(kind, offset);
  if (slot < 0 || !(state(slot) & VALID)) return -1;
  store<u32>(slotAt(slot), 1, USED);
  return slot;
}

/** The slot of a table that is loaded, or a wait code with the record filled. */
export function ensure(kind: u32, offset: u64): i32 {
  let slot = find(kind, offset);
  if (slot >= 0) {
    if (state(slot) & VALID) {
      store<u32>(slotAt(slot), 1, USED);
      return slot;
    }
    setResult(3, slot);
    return LOADING;
  }
  slot = acquire(kind, offset);
  if (slot < 0) return slot;
  setState(slot, IS_LOADING);
  setResult(0, <f64>offset);
  setResult(1, entryBytes(kind));
  setResult(2, slotData(slot));
  setResult(3, slot);
  return NEED;
}

/** A slot for a table that is new and not on disk yet: zeroed, dirty. Or a wait code. */
export function create(kind: u32, offset: u64): i32 {
  const slot = acquire(kind, offset);
  if (slot < 0) return slot;
  memory.fill(slotData(slot), 0, entryBytes(kind));
  setState(slot, VALID);
  markDirty(slot);
  return slot;
}

function acquire(kind: u32, offset: u64): i32 {
  const slot = victim(kind);
  if (slot < 0) return slot;
  unlink(slot);
  const at = slotAt(slot);
  const bucket = bucketOf(offset);
  store<u64>(at, offset, OFFSET);
  store<u32>(at, load<u32>(bucket), NEXT);
  store<u32>(at, 1, USED);
  store<u32>(bucket, slot + 1);
  return slot;
}

/** A slot that can be taken. Two rounds: the first takes the marks of recent use away. */
function victim(kind: u32): i32 {
  const first = kind == L2 ? 0 : l2Slots;
  const count = kind == L2 ? l2Slots : blockSlots;
  let hand = kind == L2 ? l2Hand : blockHand;
  let busy: i32 = BUSY;
  for (let i: u32 = 0; i < count * 2; i++) {
    const slot = first + hand;
    hand = hand + 1 == count ? 0 : hand + 1;
    const flags = state(slot);
    if (flags & IS_LOADING) {
      busy = LOADING;
      setResult(3, slot);
    } else if (flags & (DIRTY | WRITING)) {
      if (!load<u32>(slotAt(slot), PINS)) busy = WRITEBACK;
    } else if (!load<u32>(slotAt(slot), PINS)) {
      if (!load<u32>(slotAt(slot), USED)) {
        if (kind == L2) l2Hand = hand;
        else blockHand = hand;
        return <i32>slot;
      }
      store<u32>(slotAt(slot), 0, USED);
    }
  }
  // Everything is pinned, which the limit on tokens prevents, or waits for the disk.
  return busy == BUSY ? WRITEBACK : busy;
}

function unlink(slot: u32): void {
  const offset = slotOffset(slot);
  if (!offset) return;
  let at = bucketOf(offset);
  while (load<u32>(at) != slot + 1) at = slotAt(load<u32>(at) - 1) + NEXT;
  store<u32>(at, load<u32>(slotAt(slot), NEXT));
  store<u64>(slotAt(slot), 0, OFFSET);
  setState(slot, 0);
}

export function qcow2_table_loaded(slot: u32): void {
  setState(slot, VALID);
}

export function qcow2_table_failed(slot: u32): void {
  unlink(slot);
}

/** Forgets the tables that nobody has used since the last time, but for those that are not on the disk yet or pinned. */
export function qcow2_clean_cache(): void {
  for (let slot: u32 = 0; slot < l2Slots + blockSlots; slot++) {
    const at = slotAt(slot);
    if (state(slot) != VALID || load<u32>(at, PINS)) continue;
    if (!load<u32>(at, USED)) unlink(slot);
    store<u32>(at, 0, USED);
  }
}

/** Forgets tables in a cluster that was freed, unwritten changes included. */
export function dropTables(offset: u64, bytes: u64): void {
  const step = <u64>entryBytes(L2);
  for (let at = offset; at < offset + bytes; at += step) drop(find(L2, at));
  drop(find(BLOCK, offset));
}

function drop(slot: i32): void {
  if (slot < 0 || state(slot) & (IS_LOADING | WRITING) || load<u32>(slotAt(slot), PINS)) return;
  if (state(slot) & DIRTY) dirtyCount--;
  unlink(slot);
}

export function pin(slot: u32): void {
  store<u32>(slotAt(slot), load<u32>(slotAt(slot), PINS) + 1, PINS);
}

export function unpin(slot: u32): void {
  store<u32>(slotAt(slot), load<u32>(slotAt(slot), PINS) - 1, PINS);
}

// @ts-ignore: decorator
@inline
export function markDirty(slot: u32): void {
  const flags = state(slot);
  if (flags & DIRTY) return;
  setState(slot, flags | DIRTY);
  dirtyCount++;
}

export function hasDirtySlots(): bool {
  return dirtyCount > 0;
}

/** Takes the next dirty table of a kind from slot `from` on for writing, or -1. */
export function takeDirty(kind: u32, from: u32): i32 {
  const first: u32 = kind == L2 ? 0 : l2Slots;
  const end: u32 = kind == L2 ? l2Slots : l2Slots + blockSlots;
  for (let slot: u32 = max(first, from); slot < end; slot++) {
    const flags = state(slot);
    if (!(flags & DIRTY)) continue;
    setState(slot, (flags & ~DIRTY) | WRITING);
    dirtyCount--;
    return <i32>slot;
  }
  return -1;
}

export function written(slot: u32, ok: bool): void {
  setState(slot, state(slot) & ~WRITING);
  if (!ok) markDirty(slot);
}

/** L2 slices that tokens may pin at once, so that one slot always remains for reading. */
export function pinLimit(): u32 {
  return l2Slots - 1;
}
