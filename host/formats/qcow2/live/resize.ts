/**
 * Changing the virtual size (specification: qcow2, sections 11.1 and 11.3).
 *
 * Growing: L1 first, then the reserved space if any, then zeros over what a longer backing file would show, then the
 * header. Shrinking: the mapping beyond the new end goes first, the header last. Space that is given up and taken again
 * later reads as zeros.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { roundDown, roundUp, sectorBytes } from '../../../base/sectors.ts';
import type { Preallocation, TruncateOptions, WritePlan } from '../../../block/driver.ts';
import { writePlanned } from '../../../block/transfer.ts';
import { UnmapMode } from '../../../core/qcow2-abi.ts';
import { l1EntriesFor, maxL1Entries, type Qcow2Header } from '../disk/header.ts';
import type { Qcow2Driver } from './image.ts';
import { allocateRun, releaseRun } from './metadata-space.ts';
import { type FileRange, reserveGrowth } from './reserve.ts';

export async function resize(driver: Qcow2Driver, length: number, options: TruncateOptions): Promise<void> {
  const { engine } = driver;
  const { header } = engine;
  if (length % sectorBytes !== 0) throw invalid('The new size must be a multiple of 512');
  if (driver.hasSnapshots && header.version < 3) {
    throw new BlockError('ENOTSUP', "Can't resize a v2 image which has snapshots");
  }
  if (length < header.size) {
    if (options.preallocation !== 'off') throw invalid("Preallocation can't be used for shrinking an image");
    await shrink(driver, length);
  } else if (length > header.size) {
    // What is mapped and not written would read as chance.
    if (options.preallocation !== 'off' && driver.encryption) {
      throw new BlockError('ENOTSUP', 'Preallocation is not supported when an encrypted image grows');
    }
    await grow(driver, length, options.preallocation);
  }
}

async function grow(driver: Qcow2Driver, length: number, preallocation: Preallocation): Promise<void> {
  const needed = l1EntriesFor(driver.engine.header, length);
  if (needed > maxL1Entries || !Number.isSafeInteger(length)) {
    throw new BlockError('EFBIG', 'Failed to grow the L1 table: File too large');
  }
  const reserved = await reserveGrowth(driver, length, preallocation);
  try {
    await growTables(driver, length, { preallocation, reserved });
  } finally {
    // What was reserved and not needed, or not used for want of something else.
    if (reserved !== undefined) await truncateFile(driver);
  }
}

/** How, and where in the file there is space that reads as zeros already. */
interface Reservation {
  preallocation: Preallocation;
  reserved: FileRange | undefined;
}

async function growTables(driver: Qcow2Driver, length: number, reservation: Reservation): Promise<void> {
  const { engine } = driver;
  const { preallocation } = reservation;
  const { size: oldSize, clusterSize } = engine.header;
  const needed = l1EntriesFor(engine.header, length);
  if (needed > engine.header.l1Size) await growL1(driver, needed);
  await clearStaleTail(driver, oldSize, length);
  await unmapLeftovers(driver, roundUp(oldSize, clusterSize), roundUp(length, clusterSize));
  // Space that is written or reserved hides it as well.
  if (preallocation === 'off' || preallocation === 'metadata') await hideBacking(driver, oldSize, length);
  if (preallocation !== 'off') await preallocate(driver, oldSize, length, reservation);
  await engine.writeback(false);
  await engine.updateHeader({ size: length });
}

/** The rest of the last cluster may hold what was there before somebody else made the disk shorter. */
async function clearStaleTail(driver: Qcow2Driver, oldSize: number, length: number): Promise<void> {
  const { clusterSize } = driver.engine.header;
  if (oldSize % clusterSize === 0 || !(await isStored(driver, oldSize))) return;
  await writeZeroBytes(driver, oldSize, Math.min(length, roundUp(oldSize, clusterSize)));
}

/** VM state, which programs that apply a snapshot may leave behind the end of the disk. */
async function unmapLeftovers(driver: Qcow2Driver, start: number, end: number): Promise<void> {
  const { clusterSize } = driver.engine.header;
  for (let offset = start; offset < end; ) {
    const { type, bytes } = await driver.map(offset, end - offset);
    const next = roundUp(offset + bytes, clusterSize);
    // A table that is shared with a snapshot is not copied for nothing.
    if (type !== 'unallocated') await driver.unmap(offset / clusterSize, next / clusterSize, UnmapMode.full);
    offset = next;
  }
}

/** What a backing file longer than the old size has there must not show through. */
async function hideBacking(driver: Qcow2Driver, oldSize: number, length: number): Promise<void> {
  const backingLength = driver.context.backingLength();
  const end = Math.min(length, backingLength);
  if (end <= oldSize) return;
  const { clusterSize, version } = driver.engine.header;
  const firstWhole = Math.ceil(oldSize / clusterSize);
  if (version < 3 && firstWhole * clusterSize < length)
    throw new BlockError('ENOTSUP', 'Failed to zero out new clusters: Operation not supported');
  if (firstWhole * clusterSize > oldSize) {
    await writeZeroBytes(driver, oldSize, Math.min(end, firstWhole * clusterSize));
  }
  await driver.unmap(firstWhole, Math.ceil(end / clusterSize), UnmapMode.keep);
}

/** Zeros as data from `start` to `end`, also past the present end of the disk, within one cluster. */
async function writeZeroBytes(driver: Qcow2Driver, start: number, end: number): Promise<void> {
  const { engine } = driver;
  const clusterStart = roundDown(start, engine.header.clusterSize);
  const keep = new Uint8Array(start - clusterStart);
  await driver.context.self.read(clusterStart, keep);
  const cluster = new Uint8Array(end - clusterStart);
  cluster.set(keep);
  await writeCluster(driver, clusterStart, cluster);
}

/** Writes the start of one cluster and zeros behind it. */
async function writeCluster(driver: Qcow2Driver, offset: number, data: Uint8Array): Promise<void> {
  const { clusterSize } = driver.engine.header;
  const whole = new Uint8Array(clusterSize);
  whole.set(data);
  await writePlanned(driver, offset, clusterSize, (plan) => plan.child.write(plan.offset, whole));
}

/** Moves the L1 table to where it has room for `entries`. What it took is given back when it cannot be written. */
export async function growL1(driver: Qcow2Driver, entries: number): Promise<void> {
  const { engine } = driver;
  const { header, core, file } = engine;
  const bytes = entries * 8;
  const clusters = Math.ceil(bytes / header.clusterSize);
  await engine.makeRoom({ l1: entries, refcountTable: 0 });
  const run = await allocateRun(engine, clusters);
  const { offset } = run;
  let old = { offset: header.l1TableOffset, entries: header.l1Size };
  let isReferred = false;
  try {
    // Writes back first, refcounts too: the new clusters are counted before the header refers to them.
    await engine.exclusively(async () => {
      old = { offset: engine.header.l1TableOffset, entries: engine.header.l1Size };
      const table = new Uint8Array(bytes);
      table.set(core.activeL1(old.entries));
      await file.debugEvent('l1_grow_write_table');
      await file.write(offset, table);
      await file.flush();
      await file.debugEvent('l1_grow_activate_table');
      isReferred = true;
      await engine.updateHeader({ l1Table: { offset, entries } });
      core.switchL1(offset, entries);
    });
  } catch (error) {
    if (!isReferred) await releaseRun(engine, run);
    throw error;
  }
  const oldClusters = Math.ceil((old.entries * 8) / header.clusterSize);
  if (oldClusters > 0) await releaseRun(engine, { offset: old.offset, clusters: oldClusters });
}

/** Maps [start, end) ahead of writing; the space is sparse, reserved or filled with zeros. */
async function preallocate(
  driver: Qcow2Driver,
  start: number,
  end: number,
  { preallocation, reserved }: Reservation,
): Promise<void> {
  const { engine } = driver;
  const { file } = engine;
  const { clusterSize } = engine.header;
  const first = roundUp(start, clusterSize);
  const last = roundUp(end, clusterSize);
  // The cluster that the old end is in keeps what it reads as, which may come from the backing file.
  if (start < first && !(await isStored(driver, start - 1)))
    await writeZeroBytes(driver, start, Math.min(end, first));
  // In the reserved space, too, the refcount table leaves something behind when it grows and moves on.
  const left: FileRange[] = [];
  let table = refcountTable(engine.header);
  for (let offset = first; offset < last; ) {
    // What is mapped already keeps its data.
    offset += await writePlanned(driver, offset, last - offset, async (plan) => {
      const now = refcountTable(engine.header);
      if (now.start !== table.start) left.push(table);
      table = now;
      const isZero = isWithin(plan, reserved) && !left.some((range) => overlap(plan, range));
      if (plan.allocation && !isZero) await fill(plan.offset, plan.bytes);
    });
  }

  async function fill(host: number, bytes: number): Promise<void> {
    if (preallocation === 'falloc') return file.writeZeroes(host, bytes, {});
    if (preallocation === 'metadata') {
      await file.writeZeroes(host, bytes, { mayUnmap: true });
      // Zeros without space do not make the file longer, and it has to hold all that is mapped.
      if ((await file.getByteLength()) < host + bytes) await file.truncate(host + bytes);
      return;
    }
    const zeros = new Uint8Array(Math.min(bytes, 1 << 20));
    for (let done = 0; done < bytes; done += zeros.length) {
      await file.write(host + done, zeros.subarray(0, Math.min(zeros.length, bytes - done)));
    }
  }
}

function refcountTable(header: Qcow2Header): FileRange {
  const { refcountTableOffset: start, refcountTableClusters, clusterSize } = header;
  return { start, end: start + refcountTableClusters * clusterSize };
}

function isWithin({ offset, bytes }: WritePlan, range: FileRange | undefined): boolean {
  return range !== undefined && offset >= range.start && offset + bytes <= range.end;
}

function overlap({ offset, bytes }: WritePlan, { start, end }: FileRange): boolean {
  return offset < end && start < offset + bytes;
}

async function shrink(driver: Qcow2Driver, length: number): Promise<void> {
  const { engine } = driver;
  const { clusterSize, size, l1Size } = engine.header;
  const firstGone = Math.ceil(length / clusterSize);
  if (length % clusterSize !== 0 && (await isStored(driver, length))) {
    await writeZeroBytes(driver, length, firstGone * clusterSize);
  }
  await driver.unmap(firstGone, Math.ceil(size / clusterSize), UnmapMode.full);
  await engine.writeback(false);
  await engine.file.debugEvent('l1_shrink_write_table');
  const firstTable = l1EntriesFor(engine.header, length);
  for (let index = firstTable; index < l1Size; index++) {
    await engine.runCode(() => engine.core.dropTable(index));
  }
  await engine.writeback(false);
  await engine.countDown();
  await engine.writeback(false);
  await engine.updateHeader({ size: length });
  await truncateFile(driver);
}

async function isStored(driver: Qcow2Driver, offset: number): Promise<boolean> {
  const extent = await driver.map(offset, 1);
  return extent.type === 'data' || extent.type === 'special';
}

/** Gives the host back what lies behind the last cluster in use. */
async function truncateFile(driver: Qcow2Driver): Promise<void> {
  const { engine } = driver;
  const { clusterSize } = engine.header;
  let cluster = Math.ceil(engine.file.length / clusterSize);
  while (cluster > 0) {
    const { count } = await engine.run(() => engine.core.refcount(cluster - 1));
    if (count > 0) break;
    cluster--;
  }
  if (cluster * clusterSize < engine.file.length) await engine.file.truncate(cluster * clusterSize);
}
