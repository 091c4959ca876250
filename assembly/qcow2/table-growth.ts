/**
 * Growing the refcount table (specification: qcow2, section 2.4).
 *
 * The new table and the blocks that describe it go into the first clusters that the old table cannot describe: free by
 * definition. The host writes the blocks (made one after the other in a buffer), flushes, writes the table, flushes,
 * switches the header, flushes, and then tells. No other step runs in between, and everything was written back before.
 */
import { ERROR_TOO_BIG, FREES_FULL, GROW_TABLE, OK, setResult } from '../abi';
import {
  blockBits,
  clusterBits,
  clusterBytes,
  refcountOrder,
  refcountTable,
  refcountTableEntries,
  refcountTableEntry,
  refcountTableOffset,
  refcountTableRoom,
  setRefcountTableEntry,
  switchRefcountTable,
} from './image';
import { noteBlock } from './metadata-filter';
import { BY_OTHER, freeLater, roomForFrees } from './pending-free';
import { checkOverlap, NOTHING } from './overlap-check';
import { writeRefcount } from './refcount-block';

let start: u64 = 0;
let blocks: u32 = 0;
let tableClusters: u32 = 0;

/** Plans a table that reaches index `needed`: record 0 offset of the area, 1 blocks, 2 table clusters. */
export function qcow2_grow_plan(needed: u32): i32 {
  const old = refcountTableEntries;
  const perCluster = <u32>(clusterBytes >> 3);
  start = (<u64>old) << blockBits;
  blocks = 1;
  for (;;) {
    const entries = max(max(needed + 1, old + blocks), old + (old >> 1));
    tableClusters = (entries + perCluster - 1) / perCluster;
    const described = (<u64>blocks) << blockBits;
    if (described >= <u64>(blocks + tableClusters)) break;
    blocks++;
  }
  if (tableClusters * perCluster > refcountTableRoom()) return ERROR_TOO_BIG;
  return describePlan();
}

/** What a damaged image has there may be metadata all the same. */
function describePlan(): i32 {
  const bytes = (<u64>(blocks + tableClusters)) << clusterBits;
  const code = checkOverlap(start << clusterBits, bytes, NOTHING);
  if (code != OK) return code;
  setResult(0, <f64>(start << clusterBits));
  setResult(1, blocks);
  setResult(2, tableClusters);
  return OK;
}

/**
 * Plans room for `clusters` in a row, where no refcount block describes anything yet: record as for `qcow2_grow_plan`.
 * GROW_TABLE when the table is too short for the blocks.
 */
export function qcow2_run_plan(clusters: u32): i32 {
  let index = refcountTableEntries;
  while (index > 0 && !refcountTableEntry(index - 1)) index--;
  start = (<u64>index) << blockBits;
  tableClusters = clusters;
  blocks = 1;
  while ((<u64>blocks) << blockBits < <u64>(blocks + clusters)) blocks++;
  if (index + blocks > refcountTableEntries) {
    setResult(0, index + blocks - 1);
    return GROW_TABLE;
  }
  return describePlan();
}

/** The blocks of a run are on disk: enters them into the table. The run itself starts behind them. */
export function qcow2_run_done(): void {
  const index = <u32>(start >> blockBits);
  for (let i: u32 = 0; i < blocks; i++) {
    setRefcountTableEntry(index + i, (start + i) << clusterBits);
    noteBlock((start + i) << clusterBits);
  }
}

/**
 * Gives clusters back that were allocated for something that is no longer wanted, or replaced durably before. `reason`
 * is one of `pending-free.ts`. FREES_FULL: nothing is done yet.
 */
export function qcow2_release(offset: f64, clusters: u32, reason: u32): i32 {
  if (!roomForFrees(1)) return FREES_FULL;
  freeLater((<u64>offset) >> clusterBits, clusters, reason);
  return OK;
}

/** Makes block `index` of the plan at `address`, one cluster: record 0 where it goes. */
export function qcow2_grow_block(index: u32, address: usize): i32 {
  memory.fill(address, 0, <usize>clusterBytes);
  const first = (<u64>index) << blockBits;
  const used = <u64>(blocks + tableClusters);
  for (let i: u64 = 0; i < (1 as u64) << blockBits && first + i < used; i++)
    writeRefcount(address, <u32>i, refcountOrder, 1);
  setResult(0, <f64>((start + index) << clusterBits));
  return OK;
}

/** Enters the new blocks into the table in memory: record 0 address, 1 bytes, 2 where the table goes. */
export function qcow2_grow_table(): i32 {
  for (let i: u32 = 0; i < blocks; i++) {
    setRefcountTableEntry(refcountTableEntries + i, (start + i) << clusterBits);
    noteBlock((start + i) << clusterBits);
  }
  setResult(0, <f64>refcountTable);
  setResult(1, <f64>((<u64>tableClusters) << clusterBits));
  setResult(2, <f64>((start + blocks) << clusterBits));
  return OK;
}

/** The header points to the new table; the old one is given back. On failure the plan is taken back. */
export function qcow2_grow_done(ok: bool): void {
  if (!ok) {
    memory.fill(refcountTable + (refcountTableEntries << 3), 0, blocks << 3);
    switchRefcountTable(refcountTableOffset, refcountTableEntries);
    return;
  }
  const oldClusters = <u32>((((<u64>refcountTableEntries) << 3) + clusterBytes - 1) >> clusterBits);
  freeLater(refcountTableOffset >> clusterBits, oldClusters, BY_OTHER);
  switchRefcountTable((start + blocks) << clusterBits, <u32>((<u64>tableClusters * clusterBytes) >> 3));
}
