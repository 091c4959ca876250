/**
 * The order in which changed tables reach the disk (specification: qcow2, section 4.7). Nothing else decides it.
 *
 * A write-back goes through fixed phases with a flush after each that wrote something:
 *
 * | phase | written                   | so that                                                      |
 * |-------|---------------------------|--------------------------------------------------------------|
 * | 1     | refcount blocks           | every count is there before the reference                     |
 * | 2     | refcount table            | a block is complete before it is shown                        |
 * | 3     | L2 slices                 | data (flushed in phase 1 or 2) is there before it is mapped   |
 * | 4     | L1                        | a table is complete before it is shown                        |
 *
 * After the last flush, references given up before the beginning are durable and may be counted down (pending-free.ts).
 * While one runs, steps that would change tables of a later phase wait. The host flushes before phase 3 even if nothing
 * was written in 1 and 2: data was. With lazy refcounts, phases 1 and 2 wait for a clean close: the image says that its
 * counts cannot be trusted.
 *
 * The host may also go through the phases without any flush, so that whoever reads the file finds it complete at any
 * moment. Nothing is durable then, and what was given up goes on waiting for a write-back that is.
 */
import { getResult, OK, setResult } from '../abi';
import {
  giveBackDirtyRun,
  hasDirtyTables,
  l1Offset,
  l1Table,
  refcountTable,
  refcountTableOffset,
  takeDirtyRun,
} from './image';
import { freesDurable, hasDurableFrees, pendingFrees } from './pending-free';
import { ACTIVE_L1, ACTIVE_L2, checkOverlap, REFCOUNT_BLOCK, REFCOUNT_TABLE } from './overlap-check';
import {
  BLOCK,
  entryBytes,
  hasDirtySlots,
  L2,
  slotData,
  slotOffset,
  takeDirty,
  written,
} from './table-cache';
import { isWritingBack, setWritingBack } from './writeback-state';

/** What `qcow2_writeback_next` returns. */
/** Write: record 0 file offset, 1 bytes, 2 address, 3 item for `done`. */
const WRITE: i32 = 1;
/** Wait for all writes so far, then flush the file. */
const FLUSH: i32 = 2;
const DONE: i32 = 0;

/**
 * Items. The host tells by the flags what they are a part of (host/core/qcow2.ts).
 *
 * | bits     | table in a slot | sectors of L1 or refcount table |
 * |----------|-----------------|---------------------------------|
 * | 52       | 0               | 1: SECTORS                      |
 * | 51       | 0               | 1 for L1: OF_L1                 |
 * | 25 to 50 | 0               | first sector                    |
 * | 0 to 24  | slot            | how many                        |
 */
const SECTORS: u64 = (1 as u64) << 52;
const OF_L1: u64 = (1 as u64) << 51;
const FIRST_SHIFT: u64 = 25;
const FIRST_MASK: u64 = 0x3ffffff;
const COUNT_MASK: u64 = 0x1ffffff;

let phase: u32 = 0;
let freeMark: u32 = 0;
let wroteInPhase: bool = false;
/** Slots below it were looked at in this phase. */
let position: u32 = 0;

/** False when one is running already. */
export function qcow2_writeback_begin(lazy: bool): bool {
  if (isWritingBack()) return false;
  setWritingBack(true);
  freeMark = pendingFrees();
  phase = lazy ? 3 : 1;
  position = 0;
  wroteInPhase = false;
  return true;
}

/** The next thing to do. ERROR_CORRUPT: what comes next lies on other metadata; it stays dirty. */
export function qcow2_writeback_next(): i32 {
  for (;;) {
    const item = nextItem();
    if (item) return checkItem();
    const flush = wroteInPhase || phase == 2;
    wroteInPhase = false;
    position = 0;
    phase++;
    if (phase > 4) {
      // The flush after the last phase is the host's last act before it calls `end`.
      return DONE;
    }
    if (flush) return FLUSH;
  }
  return DONE;
}

function nextItem(): bool {
  switch (phase) {
    case 1:
      return slotItem(takeDirty(BLOCK, position), BLOCK);
    case 2:
      return sectorItem(false);
    case 3:
      return slotItem(takeDirty(L2, position), L2);
    default:
      return sectorItem(true);
  }
}

function checkItem(): i32 {
  const item = getResult(3);
  const code = checkOverlap(<u64>getResult(0), <u64>getResult(1), ownClass());
  if (code == OK) return WRITE;
  qcow2_writeback_done(item, false);
  return code;
}

/** The class of metadata that this phase writes. */
function ownClass(): u32 {
  switch (phase) {
    case 1:
      return REFCOUNT_BLOCK;
    case 2:
      return REFCOUNT_TABLE;
    case 3:
      return ACTIVE_L2;
    default:
      return ACTIVE_L1;
  }
}

function slotItem(slot: i32, kind: u32): bool {
  if (slot < 0) return false;
  position = <u32>slot + 1;
  setResult(0, <f64>slotOffset(slot));
  setResult(1, entryBytes(kind));
  setResult(2, slotData(slot));
  setResult(3, slot);
  wroteInPhase = true;
  return true;
}

function sectorItem(ofL1: bool): bool {
  const run = takeDirtyRun(ofL1);
  if (run < 0) return false;
  const first = (<u64>run) >> 32;
  const count = (<u64>run) & 0xffffffff;
  setResult(0, <f64>((ofL1 ? l1Offset : refcountTableOffset) + (first << 9)));
  setResult(1, <f64>(count << 9));
  setResult(2, <f64>((ofL1 ? l1Table : refcountTable) + ((<usize>first) << 9)));
  setResult(3, <f64>(SECTORS | (ofL1 ? OF_L1 : 0) | (first << FIRST_SHIFT) | count));
  wroteInPhase = true;
  return true;
}

/** The item was written, or could not be. */
export function qcow2_writeback_done(item: f64, ok: bool): void {
  const value = <u64>item;
  if (value < SECTORS) {
    written(<u32>value, ok);
  } else if (!ok) {
    const first = <u32>((value >> FIRST_SHIFT) & FIRST_MASK);
    giveBackDirtyRun((value & OF_L1) != 0, first, <u32>(value & COUNT_MASK));
  }
}

/** Ends it; `ok` when all was written and flushed. */
export function qcow2_writeback_end(ok: bool): void {
  setWritingBack(false);
  if (ok) freesDurable(freeMark);
}

/** Whether anything waits to be written, or to be counted down. */
export function qcow2_is_dirty(): bool {
  return hasDirtySlots() || hasDirtyTables() || pendingFrees() > 0;
}

/** Whether anything waits to be written. */
export function qcow2_has_unwritten(): bool {
  return hasDirtySlots() || hasDirtyTables();
}

/** Whether references that were given up can be counted down now. */
export function qcow2_has_frees(): bool {
  return hasDurableFrees();
}
