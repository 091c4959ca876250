/**
 * Making, deleting and applying the internal snapshots of an open image (specification: qcow2, section 5).
 *
 * Each changes the image at one instant, the write of the header's first sector: before it, everything new is durable
 * and every cluster that the new state refers to is counted; only after it does the old state lose its references. So a
 * crash finds the old state or the new one; what it may cost is space, and COPIED flags that are clear where they need
 * not be.
 *
 * No guest request may be in flight: the flags of the whole active tree change.
 */

import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import type { NewSnapshot } from '../../../block/snapshot-storage.ts';
import { FreeReason, MetadataClass } from '../../../core/qcow2-abi.ts';
import { l1EntriesFor, maxL1Entries, maxSnapshots, type Qcow2Header, readHeader } from '../disk/header.ts';
import type { HeaderChanges } from '../disk/header-update.ts';
import {
  maxSnapshotTableBytes,
  type Snapshot,
  type SnapshotTable,
  serializeSnapshotTable,
  snapshotL1,
} from '../disk/snapshot-table.ts';
import {
  copyActiveL1,
  L1Copy,
  readL1,
  refreshCopied,
  releaseTree,
  shareTree,
  switchActiveL1,
  unshareTree,
} from './cluster-tree.ts';
import type { Qcow2Engine } from './engine.ts';
import type { Qcow2Driver } from './image.ts';
import { type ClusterRun, releaseRun, writeRun } from './metadata-space.ts';
import { findSnapshotRanges, protectSnapshots, type SnapshotRanges } from './overlap-check.ts';
import { dropVmState, readActiveVmState, readVmState, writeVmState } from './vm-state.ts';

const maxNameBytes = 65_535;

export class SnapshotOperations {
  private readonly engine: Qcow2Engine;
  private readonly context: OpenContext;

  /** `holder` has the table as it is on disk. One operation at a time. */
  constructor(
    private readonly driver: Qcow2Driver,
    private readonly holder: { table: SnapshotTable },
  ) {
    this.engine = driver.engine;
    this.context = driver.context;
  }

  private list(): readonly Snapshot[] {
    return this.holder.table.snapshots;
  }

  saveVmState(offset: number, data: Uint8Array): Promise<void> {
    return writeVmState(this.driver, offset, data);
  }

  async loadVmState(snapshot: Snapshot | undefined, offset: number, buffer: Uint8Array): Promise<void> {
    if (!snapshot) return readActiveVmState(this.driver, offset, buffer);
    this.requireKnown(snapshot);
    const { l1Size } = snapshot;
    const l1 = await readL1(this.engine, this.l1Offset(snapshot), l1Size);
    await readVmState({ engine: this.engine, context: this.context, l1, snapshot }, offset, buffer);
  }

  private requireKnown(snapshot: Snapshot): void {
    this.engine.checkUsable();
    if (!this.list().includes(snapshot)) throw new BlockError('ENOENT');
  }

  private requireWritable(): void {
    if (this.context.flags.readOnly) throw new BlockError('EACCES');
  }

  private l1Offset(snapshot: Snapshot): number {
    return snapshotL1(snapshot, this.engine.header.clusterSize, maxL1Entries);
  }

  private clustersOf(bytes: number): number {
    return Math.ceil(bytes / this.engine.header.clusterSize);
  }

  // Create (section 5.3).

  async create(what: NewSnapshot): Promise<Snapshot> {
    const { engine } = this;
    this.requireWritable();
    engine.checkUsable();
    const nameBytes = new TextEncoder().encode(what.name);
    if (nameBytes.length > maxNameBytes) throw invalid('Snapshot name too long');
    if (this.list().length === maxSnapshots) throw new BlockError('EFBIG', 'Too many snapshots');
    await engine.settle();
    const { header } = engine;
    const l1 = copyActiveL1(engine);
    const tables = l1.tables(header.clusterSize);
    const used: ClusterRun[] = [];
    await this.share(tables);
    let snapshot: Snapshot;
    let table: NewTable;
    try {
      await engine.runCode(() => engine.core.shareL1());
      const id = nextId(this.list());
      snapshot = {
        id,
        name: what.name,
        idBytes: new TextEncoder().encode(id),
        nameBytes,
        l1TableOffset: BigInt(await this.writeRun(l1.bytes, used)),
        l1Size: header.l1Size,
        dateSeconds: what.dateSeconds,
        dateNanoseconds: what.dateNanoseconds,
        vmClockNs: what.vmClockNs,
        vmStateBytes: BigInt(what.vmStateBytes),
        diskSize: BigInt(header.size),
        icount: what.icount,
        extra: new Uint8Array(),
      };
      table = await this.writeTable([...this.list(), snapshot], used);
    } catch (error) {
      await this.takeBack(tables, used);
      throw error;
    }
    await this.switchTable(table);
    if (what.vmStateBytes > 0) await dropVmState(this.driver, what.vmStateBytes);
    // What the old table took is free again.
    await engine.settle();
    return snapshot;
  }

  /** `shareTree`; when it fails the flags, too, become as they were. */
  private async share(tables: Float64Array): Promise<void> {
    try {
      await shareTree(this.engine, tables);
    } catch (error) {
      await refreshCopied(this.engine).catch(() => {});
      throw error;
    }
  }

  /** Gives up what was prepared. Failing at that leaves leaks, which is not what the caller must hear about. */
  private async takeBack(tables: Float64Array, used: readonly ClusterRun[]): Promise<void> {
    try {
      await unshareTree(this.engine, tables);
      for (const run of used) await releaseRun(this.engine, run);
      await refreshCopied(this.engine);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }

  /** Writes `bytes` to fresh clusters, of which the rest stays as it is: where they are, 0 for none. */
  private writeRun(bytes: Uint8Array, used: ClusterRun[]): Promise<number> {
    return writeRun(this.engine, bytes, { used, unit: sectorBytes });
  }

  // The snapshot table.

  private async writeTable(snapshots: readonly Snapshot[], used: ClusterRun[]): Promise<NewTable> {
    const bytes = serializeSnapshotTable(snapshots);
    if (bytes.length > maxSnapshotTableBytes) throw new BlockError('EFBIG', 'Snapshot table is too big');
    const offset = await this.writeRun(bytes, used);
    const table = { snapshots, bytes: bytes.length, offset };
    return { ...table, ranges: await findSnapshotRanges(this.engine, table, offset) };
  }

  /** The same table, in today's form. */
  async writeAnew(): Promise<void> {
    this.requireWritable();
    const used: ClusterRun[] = [];
    let table: NewTable;
    try {
      table = await this.writeTable(this.list(), used);
    } catch (error) {
      await this.takeBack(new Float64Array(), used);
      throw error;
    }
    await this.switchTable(table);
  }

  /** Makes everything durable, then `table` the image's, then gives the old one back. */
  private async switchTable(table: NewTable): Promise<void> {
    const { engine } = this;
    const old = { offset: engine.header.snapshotsOffset, clusters: this.clustersOf(this.holder.table.bytes) };
    const snapshotTable = { offset: table.offset, count: table.snapshots.length };
    let failure: BlockError | undefined;
    await engine.exclusively(async () => {
      failure = await switchHeader(
        engine,
        { snapshotTable },
        ({ snapshotsOffset, snapshotCount }) =>
          snapshotsOffset === table.offset && snapshotCount === snapshotTable.count,
      );
      this.holder.table = table;
      protectSnapshots(engine.core, table.ranges);
    });
    if (failure) throw failure;
    if (old.clusters > 0) await releaseRun(engine, old, FreeReason.snapshot);
  }

  // Delete (section 5.4).

  async delete(snapshot: Snapshot): Promise<void> {
    const { engine } = this;
    this.requireWritable();
    this.requireKnown(snapshot);
    const { l1Size } = snapshot;
    const offset = this.l1Offset(snapshot);
    const tables = (await readL1(engine, offset, l1Size)).tables(engine.header.clusterSize);
    const used: ClusterRun[] = [];
    let table: NewTable;
    try {
      table = await this.writeTable(
        this.list().filter((other) => other !== snapshot),
        used,
      );
    } catch (error) {
      await this.takeBack(new Float64Array(), used);
      throw error;
    }
    await this.switchTable(table);
    await releaseTree(engine, tables);
    if (l1Size > 0)
      await releaseRun(engine, { offset, clusters: this.clustersOf(l1Size * 8) }, FreeReason.snapshot);
    await refreshCopied(engine);
  }

  // Apply (section 5.5).

  /** May change flags in L2 tables of snapshots, which nobody else may meanwhile. */
  async apply(snapshot: Snapshot): Promise<void> {
    const { core, header, options } = this.engine;
    if ((options.overlapMask & MetadataClass.inactiveL2) === 0) return this.switchTo(snapshot);
    const { l2 } = await findSnapshotRanges(this.engine, this.holder.table, header.snapshotsOffset);
    core.setInactiveL2(new Float64Array());
    try {
      await this.switchTo(snapshot);
    } finally {
      core.setInactiveL2(l2);
    }
  }

  private async switchTo(snapshot: Snapshot): Promise<void> {
    const { engine } = this;
    this.requireWritable();
    this.requireKnown(snapshot);
    if (this.driver.bitmapStorage.entries.length > 0)
      throw new BlockError('EBUSY', 'Device has active dirty bitmaps');
    await engine.settle();
    const old = engine.header;
    const l1 = await this.diskL1(snapshot);
    await engine.makeRoom({ l1: l1.bytes.length / 8, refcountTable: 0 });
    const oldTables = copyActiveL1(engine).tables(old.clusterSize);
    const tables = l1.tables(old.clusterSize);
    const used: ClusterRun[] = [];
    await this.share(tables);
    let offset: number;
    try {
      offset = await this.writeRun(l1.bytes, used);
    } catch (error) {
      await this.takeBack(tables, used);
      throw error;
    }
    let failure: BlockError | undefined;
    await engine.exclusively(async () => {
      failure = await switchHeader(
        engine,
        { size: Number(snapshot.diskSize), l1Table: { offset, entries: l1.bytes.length / 8 } },
        ({ l1TableOffset }) => l1TableOffset === offset,
      );
      switchActiveL1(engine, l1, { offset, oldEntries: old.l1Size });
    });
    if (failure) throw failure;
    await releaseTree(engine, oldTables);
    const clusters = this.clustersOf(old.l1Size * 8);
    if (clusters > 0) await releaseRun(engine, { offset: old.l1TableOffset, clusters }, FreeReason.snapshot);
    await refreshCopied(engine);
  }

  /**
   * The snapshot's L1 table as far as its disk goes. VM state behind it stays the snapshot's alone, or it would show
   * when the disk grows.
   */
  private async diskL1(snapshot: Snapshot): Promise<L1Copy> {
    const { header } = this.engine;
    const needed = l1EntriesFor(header, Number(snapshot.diskSize));
    if (needed > maxL1Entries) throw new BlockError('EFBIG', 'The snapshot is of too big a disk');
    const stored = await readL1(this.engine, this.l1Offset(snapshot), Math.min(needed, snapshot.l1Size));
    const bytes = new Uint8Array(needed * 8);
    bytes.set(stored.bytes);
    return new L1Copy(bytes);
  }

  // Looking at one (section 5.7).

  async view(snapshot: Snapshot): Promise<void> {
    const { engine } = this;
    if (!this.context.flags.readOnly) throw invalid('Device is not readonly');
    this.requireKnown(snapshot);
    const { header } = engine;
    const l1 = await this.diskL1(snapshot);
    l1.tables(header.clusterSize);
    const offset = this.l1Offset(snapshot);
    const l1Size = l1.bytes.length / 8;
    await engine.makeRoom({ l1: l1Size, refcountTable: 0 });
    engine.header = { ...header, size: Number(snapshot.diskSize), l1Size, l1TableOffset: offset };
    switchActiveL1(engine, l1, { offset, oldEntries: header.l1Size });
  }
}

interface NewTable extends SnapshotTable {
  offset: number;
  ranges: SnapshotRanges;
}

/**
 * Changes the header. When that fails nobody knows what is durable, but what is read is what was written last: if that is
 * the new header (`isNew`), the image goes on with it, and the error is returned. What the old one refers to must stay.
 */
async function switchHeader(
  engine: Qcow2Engine,
  changes: HeaderChanges,
  isNew: (header: Qcow2Header) => boolean,
): Promise<BlockError | undefined> {
  try {
    await engine.updateHeader(changes);
    return undefined;
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const header = await readHeader(engine.file, { readOnly: true, check: true, noIo: true });
    if (!isNew(header)) throw error;
    engine.header = header;
    return error;
  }
}

/** One more than the largest number that an id begins with. */
function nextId(snapshots: readonly Snapshot[]): string {
  let largest = 0;
  for (const { id } of snapshots) largest = Math.max(largest, Number(/^\d+/.exec(id)?.[0] ?? 0));
  return String(largest + 1);
}
