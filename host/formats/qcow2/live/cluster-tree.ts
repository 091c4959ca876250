/**
 * Whole trees of an image: an L1 table, the L2 tables that it leads to, and the clusters that those map
 * (specification: qcow2, sections 5.3 to 5.5). The counting is in the core (assembly/qcow2/snapshot.ts).
 *
 * One walk of an image at a time, while no guest request is in flight.
 */
import { BlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { copiedFlag, entryOffset } from '../disk/entry.ts';
import type { Qcow2Engine } from './engine.ts';

/** An L1 table, as it is on disk but with no COPIED flag. */
export class L1Copy {
  constructor(readonly bytes: Uint8Array) {
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.length; at += 8) view.setBigUint64(at, view.getBigUint64(at) & ~copiedFlag);
  }

  /** Offsets of the L2 tables. EIO when one cannot be where it says. */
  tables(clusterSize: number): Float64Array {
    const view = viewOf(this.bytes);
    const tables = new Float64Array(this.bytes.length / 8);
    let count = 0;
    for (let at = 0; at < this.bytes.length; at += 8) {
      const offset = entryOffset(view.getBigUint64(at));
      if (offset % clusterSize !== 0) throw new BlockError('EIO', 'The snapshot has a damaged L1 table');
      if (offset > 0) tables[count++] = offset;
    }
    return tables.subarray(0, count);
  }
}

/** The L1 table that is in use, `entries` of it. */
export function copyActiveL1(engine: Qcow2Engine, entries = engine.header.l1Size): L1Copy {
  const bytes = new Uint8Array(entries * 8);
  bytes.set(engine.core.activeL1(Math.min(entries, engine.header.l1Size)));
  return new L1Copy(bytes);
}

export async function readL1(engine: Qcow2Engine, offset: number, entries: number): Promise<L1Copy> {
  const bytes = new Uint8Array(entries * 8);
  if (entries > 0) await engine.file.read(offset, bytes);
  return new L1Copy(bytes);
}

function slicesPerTable(engine: Qcow2Engine): number {
  return engine.header.clusterSize / engine.options.caches.l2EntryBytes;
}

/**
 * One reference more to every L2 table and to everything in them, whose COPIED flags go. All or nothing: when it fails
 * the counts are as before, in memory. EINVAL when a count is at its maximum.
 */
export async function shareTree(engine: Qcow2Engine, tables: Float64Array): Promise<void> {
  const { core } = engine;
  const slices = slicesPerTable(engine);
  let index = 0;
  let slice = 0;
  try {
    for (; index < tables.length; index++) {
      const table = tables[index]!; // within
      for (slice = 0; slice < slices; slice++) {
        core.beginWalk(false);
        await engine.runCode(() => core.shareSlice(table, slice, false));
      }
      await engine.runCode(() => core.shareTable(table, false));
    }
  } catch (error) {
    // Counts that stay too high are a leak at worst.
    await undo(index, slice).catch(() => {});
    throw error;
  }

  async function undo(failedTable: number, failedSlice: number): Promise<void> {
    const table = tables[failedTable]!; // the loop stopped there
    if (failedSlice < slices) {
      core.beginWalk(true);
      await engine.runCode(() => core.shareSlice(table, failedSlice, true));
    }
    await unshareSlices(engine, table, failedSlice);
    await unshareTree(engine, tables.subarray(0, failedTable));
  }
}

/** Takes back what `shareTree` did, before anything on disk relied on it. Flags stay cleared. */
export async function unshareTree(engine: Qcow2Engine, tables: Float64Array): Promise<void> {
  const { core } = engine;
  for (const table of tables) {
    await engine.runCode(() => core.shareTable(table, true));
    await unshareSlices(engine, table, slicesPerTable(engine));
  }
}

async function unshareSlices(engine: Qcow2Engine, table: number, slices: number): Promise<void> {
  const { core } = engine;
  for (let slice = 0; slice < slices; slice++) {
    core.beginWalk(false);
    await engine.runCode(() => core.shareSlice(table, slice, true));
  }
}

/** Gives up the references of a tree to which nothing on disk leads any more. */
export async function releaseTree(engine: Qcow2Engine, tables: Float64Array): Promise<void> {
  const { core } = engine;
  for (const table of tables) {
    for (let slice = 0; slice < slicesPerTable(engine); slice++) {
      core.beginWalk(false);
      await engine.runCode(() => core.releaseSlice(table, slice));
    }
    await engine.runCode(() => core.releaseTables(table, 1));
  }
}

/** Makes the COPIED flags of the active tree true again, durably. Everything given up before is free afterwards. */
export async function refreshCopied(engine: Qcow2Engine): Promise<void> {
  const { core } = engine;
  await engine.settle();
  const view = viewOf(copyActiveL1(engine).bytes);
  for (let index = 0; index < engine.header.l1Size; index++) {
    if (entryOffset(view.getBigUint64(index * 8)) === 0) continue;
    for (let slice = 0; slice < slicesPerTable(engine); slice++) {
      core.beginWalk(false);
      await engine.runCode(() => core.refreshSlice(index, slice));
    }
    await engine.runCode(() => core.refreshTable(index));
  }
  await engine.settle();
}

/** Puts another L1 table, which is on disk at `offset`, in the place of the one in use. */
export function switchActiveL1(
  engine: Qcow2Engine,
  l1: L1Copy,
  change: { offset: number; oldEntries: number },
): void {
  const { core } = engine;
  const { bytes } = l1;
  const entries = bytes.length / 8;
  const table = core.activeL1(Math.max(entries, change.oldEntries));
  table.set(bytes);
  table.fill(0, bytes.length);
  core.switchL1(change.offset, entries);
  core.noteTables();
}
