/**
 * The state of a virtual machine, stored like guest data behind the end of the disk (specification: qcow2, section 5.6).
 *
 * It is written into the active tree, and handed over to a snapshot, from whose tree a machine reads it.
 */
import { BlockError } from '../../../base/errors.ts';
import { roundDown } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { writePlanned } from '../../../block/transfer.ts';
import { UnmapMode } from '../../../core/qcow2-abi.ts';
import { compressedFlag, entryOffset, zeroFlag } from '../disk/entry.ts';
import { l1EntriesFor, l2Entries, maxL1Entries, vmStateStart } from '../disk/header.ts';
import type { Snapshot } from '../disk/snapshot-table.ts';
import type { L1Copy } from './cluster-tree.ts';
import { readCompressed } from './compressed.ts';
import type { Qcow2Engine } from './engine.ts';
import type { Qcow2Driver } from './image.ts';
import { growL1 } from './resize.ts';

/** Writes VM state at `offset` from its start. EFBIG beyond what an L1 table can map. */
export async function writeVmState(driver: Qcow2Driver, offset: number, data: Uint8Array): Promise<void> {
  const { engine } = driver;
  await engine.file.debugEvent('vmstate_save');
  const { header } = engine;
  const { clusterSize } = header;
  const start = vmStateStart(header, header.size) + offset;
  const end = start + data.length;
  const needed = l1EntriesFor(header, end);
  if (needed > maxL1Entries) throw new BlockError('EFBIG');
  if (needed > header.l1Size) {
    // Some more than needed: state comes in pieces.
    await growL1(driver, Math.min(maxL1Entries, Math.max(needed, Math.ceil(header.l1Size * 1.5))));
  }
  for (let at = start; at < end; ) {
    const inCluster = at % clusterSize;
    const rest = data.subarray(at - start);
    const whole = roundDown(rest.length, clusterSize);
    if (inCluster === 0 && whole > 0) {
      at += await writeClusters(driver, at, rest.subarray(0, whole));
      continue;
    }
    const cluster = new Uint8Array(clusterSize);
    await readActiveCluster(driver, at - inCluster, cluster);
    const part = rest.subarray(0, clusterSize - inCluster);
    cluster.set(part, inCluster);
    await writeClusters(driver, at - inCluster, cluster);
    at += part.length;
  }
}

/** Writes the first of some whole clusters: how many bytes were done. */
function writeClusters(driver: Qcow2Driver, offset: number, data: Uint8Array): Promise<number> {
  return writePlanned(driver, offset, data.length, (plan) =>
    plan.child.write(plan.offset, data.subarray(0, plan.bytes)),
  );
}

/** Leaves the buffer, which is within one cluster, as it is where nothing is stored, whatever a backing file has there. */
async function readActiveCluster(driver: Qcow2Driver, offset: number, buffer: Uint8Array): Promise<void> {
  const extent = await driver.map(offset, buffer.length);
  if (extent.type === 'data') await extent.child.read(extent.offset, buffer);
}

/** Reads what was written and no snapshot has taken over; zeros beyond what the L1 table maps. */
export async function readActiveVmState(
  driver: Qcow2Driver,
  offset: number,
  buffer: Uint8Array,
): Promise<void> {
  const { header, file } = driver.engine;
  await file.debugEvent('vmstate_load');
  const { clusterSize, l1Size } = header;
  const start = vmStateStart(header, header.size) + offset;
  const mapped = l1Size * l2Entries(header) * clusterSize - start;
  buffer.fill(0);
  for (let done = 0; done < Math.min(buffer.length, mapped); ) {
    const at = start + done;
    const part = buffer.subarray(done, done + clusterSize - (at % clusterSize));
    await readActiveCluster(driver, at, part);
    done += part.length;
  }
}

/** Takes VM state out of the active tree: the snapshot has it now. */
export async function dropVmState(driver: Qcow2Driver, bytes: number): Promise<void> {
  const { header } = driver.engine;
  const first = vmStateStart(header, header.size) / header.clusterSize;
  await driver.unmap(first, first + Math.ceil(bytes / header.clusterSize), UnmapMode.full);
}

interface SnapshotTree {
  engine: Qcow2Engine;
  context: OpenContext;
  l1: L1Copy;
  snapshot: Snapshot;
}

/** Reads VM state from a snapshot's tree. EIO when the tree is damaged. */
export async function readVmState(tree: SnapshotTree, offset: number, buffer: Uint8Array): Promise<void> {
  const { header, file } = tree.engine;
  await file.debugEvent('vmstate_load');
  const { clusterSize } = header;
  const entries = l2Entries(header);
  const start = vmStateStart(header, Number(tree.snapshot.diskSize)) + offset;
  const l1 = viewOf(tree.l1.bytes);
  let table = { index: -1, view: viewOf(new Uint8Array()) };
  for (let done = 0; done < buffer.length; ) {
    const at = start + done;
    const inCluster = at % clusterSize;
    const part = buffer.subarray(done, done + clusterSize - inCluster);
    const cluster = Math.floor(at / clusterSize);
    const index = Math.floor(cluster / entries);
    if (index !== table.index) table = { index, view: await readTable(tree.engine, l1, index) };
    const place = (cluster % entries) * 8;
    await readEntry(tree, at, place < table.view.byteLength ? table.view.getBigUint64(place) : 0n, part);
    done += part.length;
  }
}

/** Snapshots' tables are not cached with changes: all of those are written back with the snapshot. */
async function readTable(engine: Qcow2Engine, l1: DataView, index: number): Promise<DataView> {
  const offset = (index + 1) * 8 <= l1.byteLength ? entryOffset(l1.getBigUint64(index * 8)) : 0;
  if (offset === 0) return viewOf(new Uint8Array());
  const table = new Uint8Array(engine.header.clusterSize);
  await engine.file.read(offset, table);
  return viewOf(table);
}

async function readEntry(
  { engine, context }: SnapshotTree,
  guest: number,
  entry: bigint,
  part: Uint8Array,
): Promise<void> {
  const inCluster = guest % engine.header.clusterSize;
  if ((entry & compressedFlag) !== 0n) {
    const cluster = await readCompressed(engine, context, entry);
    part.set(cluster.subarray(inCluster, inCluster + part.length));
    return;
  }
  const cluster = entryOffset(entry);
  if (cluster % engine.header.clusterSize !== 0) throw new BlockError('EIO');
  if (cluster === 0 || (entry & zeroFlag) !== 0n) {
    part.fill(0);
    return;
  }
  const host = cluster + inCluster;
  await engine.placeOf(guest, host).read(host, part);
}
