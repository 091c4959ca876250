/**
 * Making an image empty: everything reads as its backing file afterwards (specification: qcow2, section 11.5).
 *
 * Without snapshots and bitmaps the image gets new tables, an empty L1 table and refcounts for nothing else, and becomes
 * as short as a new one. That takes two steps, and each is one sector of the header:
 *
 *   1. New tables behind the end of the file; the header switches to them. All clusters between are free now.
 *   2. New tables where a new image has them; the header switches to those. Then the file is cut behind them.
 *
 * A crash finds the old image or the empty one, and no cluster of it is counted wrongly. Where that cannot be (snapshots,
 * bitmaps, encryption, version 2, no room behind the file) the guest's clusters are given up one by one, and the tables stay.
 */
import { asBlockError } from '../../../base/errors.ts';
import { UnmapMode } from '../../../core/qcow2-abi.ts';
import { layOutImage } from '../create/layout.ts';
import { refcountPieces } from '../create/tables.ts';
import { refcountBlockEntries } from '../disk/header.ts';
import { setRefcount } from '../disk/refcount-entry.ts';
import {
  type Clusters,
  planRefcounts,
  type RefcountPlan,
  refcountTableOf,
  refcountTablePlace,
  withBlocksOf,
} from '../disk/refcount-plan.ts';
import type { Qcow2Engine } from './engine.ts';
import type { Qcow2Driver } from './image.ts';

/** The node is drained. Errors: of I/O. */
export async function makeEmpty(driver: Qcow2Driver): Promise<void> {
  const { engine } = driver;
  await engine.settle();
  const holdsNothingElse =
    !driver.hasSnapshots && driver.bitmapStorage.entries.length === 0 && !driver.encryption;
  if (engine.header.version >= 3 && holdsNothingElse && (await moveTablesBehindEnd(engine))) {
    try {
      await moveTablesToFront(engine);
    } finally {
      await driver.reload();
    }
  } else {
    const { size, clusterSize } = engine.header;
    await driver.unmap(0, Math.ceil(size / clusterSize), UnmapMode.full);
    await engine.settle();
  }
}

/** The first step. False, with nothing changed: there is no room. */
async function moveTablesBehindEnd(engine: Qcow2Engine): Promise<boolean> {
  const { file, header } = engine;
  const { clusterSize, l1Size } = header;
  const oldBytes = file.length;
  const front = frontLayout(engine);
  const start = Math.max(Math.ceil(oldBytes / clusterSize), front.totalClusters);
  const l1: Clusters = { first: start, count: Math.ceil((l1Size * 8) / clusterSize) };
  const perBlock = refcountBlockEntries(header);
  const plan = planRefcounts(withBlocksOf([0], l1, perBlock), start + l1.count, header);
  try {
    await file.write(l1.first * clusterSize, new Uint8Array(l1.count * clusterSize));
    const used: Clusters[] = [
      { first: 0, count: 1 },
      l1,
      { first: plan.start, count: plan.end - plan.start },
    ];
    await writeRefcounts(engine, plan, used);
    await file.flush();
  } catch (error) {
    asBlockError(error);
    // Nothing refers to what has been written: at worst it stays behind the end of the image.
    await file.truncate(oldBytes).catch(() => {});
    return false;
  }
  await engine.updateHeader({
    l1Table: { offset: l1.count === 0 ? 0 : l1.first * clusterSize, entries: l1Size },
    refcountTable: refcountTablePlace(plan, clusterSize),
  });
  return true;
}

/** Every cluster of `used` is counted once, all others not at all. */
async function writeRefcounts(
  { file, header }: Qcow2Engine,
  plan: RefcountPlan,
  used: readonly Clusters[],
): Promise<void> {
  const { clusterSize, refcountOrder } = header;
  const perBlock = refcountBlockEntries(header);
  for (const [position, index] of plan.blocks.entries()) {
    const block = new Uint8Array(clusterSize);
    const start = index * perBlock;
    for (const { first, count } of used) {
      const end = Math.min(first + count, start + perBlock);
      for (let cluster = Math.max(first, start); cluster < end; cluster++) {
        setRefcount(block, cluster - start, refcountOrder, 1);
      }
    }
    await file.write((plan.start + position) * clusterSize, block);
  }
  await file.write(plan.tableStart * clusterSize, refcountTableOf(plan, clusterSize));
}

/** As a new image of that size is laid out. */
function frontLayout({ header }: Qcow2Engine) {
  const { clusterSize, refcountOrder, l1Size } = header;
  return layOutImage({ clusterSize, refcountOrder, l1Entries: l1Size, l2Tables: 0, dataClusters: 0 });
}

/** The second step. Nothing is in the way: what is in use lies behind. */
async function moveTablesToFront(engine: Qcow2Engine): Promise<void> {
  const { file, header } = engine;
  const { clusterSize, l1Size } = header;
  const layout = frontLayout(engine);
  for (const { offset, bytes } of refcountPieces(layout)) await file.write(offset, bytes);
  const end = layout.totalClusters * clusterSize;
  if (l1Size > 0) await file.write(layout.l1TableOffset, new Uint8Array(end - layout.l1TableOffset));
  await file.flush();
  await engine.updateHeader({
    l1Table: { offset: layout.l1TableOffset, entries: l1Size },
    refcountTable: { offset: layout.refcountTableOffset, clusters: layout.refcountTableClusters },
  });
  await file.truncate(end);
}
