/**
 * The two levels of tables of a sparse extent: the grain directory, all of which is in memory, and grain tables, of which
 * the latest used are (specification: vmdk, section 3).
 *
 * What always holds:
 * 1. An entry that stands in the file refers to a grain whose data was durable before: changed tables stay in memory until
 *    `writeBack`, which flushes the file first. A directory entry refers to a table that was durable before.
 * 2. An entry of 4 bytes is within one sector, so that a crash leaves the old or the new one.
 * 3. Of both copies, this one counts (`directoryOffset`); the redundant one is written beside it.
 *
 * Entries that refer behind the end that the file had when it was opened are those of a program that does not keep to 1, and a
 * crash: they count as none, for what is added to the file may get that place.
 */
import { BlockError } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { Edge } from '../../../block/edge.ts';
import type { SparseLayout } from '../disk/sparse-header.ts';

/** Of tables in memory that the file has, too. */
const maxCleanBytes = 4 << 20;
/** Of those that it does not have yet: more are written back. */
const maxDirtyBytes = 4 << 20;

export interface GrainTable {
  readonly index: number;
  readonly view: DataView;
  /** Counts changes. */
  generation: number;
  isDirty: boolean;
}

export class GrainTables {
  private readonly tableBytes: number;
  /** In the order of their last use. */
  private readonly tables = new Map<number, GrainTable>();
  private readonly loading = new Map<number, Promise<void>>();
  private readonly dirty = new Set<GrainTable>();
  /** Sectors of the directory that are to be written, by their number in it. */
  private readonly dirtyDirectory = new Set<number>();
  private readonly turn = new Mutex();
  /** Tables that were read before. */
  private readonly known = new Set<number>();
  /** Of the file, in whole sectors, before anything was added to it. */
  private readonly openedBytes: number;

  private constructor(
    private readonly file: Edge,
    private readonly layout: SparseLayout,
    private readonly directory: DataView,
    private readonly redundant: DataView | undefined,
  ) {
    this.tableBytes = layout.tableEntries * 4;
    this.openedBytes = roundUp(file.node.exactLength, sectorBytes);
  }

  /** Reads the directories, which are within the file. */
  static async open(file: Edge, layout: SparseLayout): Promise<GrainTables> {
    const read = async (offset: number): Promise<DataView> => {
      const bytes = new Uint8Array(roundUp(layout.directoryEntries * 4, sectorBytes));
      await file.read(offset, bytes.subarray(0, layout.directoryEntries * 4));
      return viewOf(bytes);
    };
    const { directoryOffset, redundantOffset } = layout;
    const redundant = redundantOffset === undefined ? undefined : await read(redundantOffset);
    return new GrainTables(file, layout, await read(directoryOffset), redundant);
  }

  /** Whether the directory has the table at all. */
  has(index: number): boolean {
    return this.directory.getUint32(index * 4, true) !== 0 || this.tables.has(index);
  }

  /** The table if it is in memory. */
  peek(index: number): GrainTable | undefined {
    const table = this.tables.get(index);
    if (table) {
      this.tables.delete(index);
      this.tables.set(index, table);
    }
    return table;
  }

  /** Has a table in memory that the directory has. Errors: EIO when it is not within the file, or cannot be read. */
  async load(index: number): Promise<void> {
    let loading = this.loading.get(index);
    if (!loading) {
      loading = this.read(index).finally(() => this.loading.delete(index));
      this.loading.set(index, loading);
    }
    await loading;
  }

  private async read(index: number): Promise<void> {
    const offset = this.offsetOf(this.directory, index);
    const bytes = new Uint8Array(this.tableBytes);
    if (offset + bytes.length > roundUp(this.file.node.exactLength, sectorBytes))
      throw new BlockError('EIO', `Grain table at ${offset} is not within the file`);
    await this.file.read(offset, bytes);
    const table = { index, view: viewOf(bytes), generation: 0, isDirty: false };
    if (!this.known.has(index)) this.forgetLost(table);
    this.add(table);
  }

  /** Of a table as others left it: entries for what the file never got. What is there now, or will be, is another's. */
  private forgetLost({ index, view }: GrainTable): void {
    this.known.add(index);
    for (let at = 0; at < view.byteLength; at += 4)
      if (view.getUint32(at, true) * sectorBytes >= this.openedBytes) view.setUint32(at, 0, true);
  }

  /** An empty table in place of one that there is not. `allocate`: gives the offset of as many bytes of the file. */
  create(index: number, allocate: (bytes: number) => number): void {
    const bytes = roundUp(this.tableBytes, sectorBytes);
    for (const directory of [this.directory, this.redundant])
      directory?.setUint32(index * 4, allocate(bytes) / sectorBytes, true);
    this.dirtyDirectory.add(Math.floor((index * 4) / sectorBytes));
    const table = {
      index,
      view: new DataView(new ArrayBuffer(this.tableBytes)),
      generation: 1,
      isDirty: true,
    };
    this.dirty.add(table);
    this.add(table);
  }

  private add(table: GrainTable): void {
    this.tables.set(table.index, table);
    if (this.tables.size * this.tableBytes <= maxCleanBytes + maxDirtyBytes) return;
    for (const [index, { isDirty }] of this.tables) {
      if (isDirty) continue;
      this.tables.delete(index);
      return;
    }
  }

  /** In memory; the file gets it by `writeBack`. */
  set(table: GrainTable, entry: number, sector: number): void {
    table.view.setUint32(entry * 4, sector, true);
    table.generation++;
    table.isDirty = true;
    this.dirty.add(table);
  }

  get isFull(): boolean {
    return this.dirty.size * this.tableBytes > maxDirtyBytes;
  }

  /**
   * Writes what has changed. `isDurable`: in the order that a crash of the computer leaves sound, for which the file is
   * flushed on the way; what was written last is for the caller to flush.
   */
  writeBack(isDurable: boolean): Promise<void> {
    return this.turn.run(() => this.writeChanges(isDurable));
  }

  private async writeChanges(isDurable: boolean): Promise<void> {
    if (this.dirty.size === 0 && this.dirtyDirectory.size === 0) return;
    // What changes from here on has data that the flush may miss.
    const copies = [...this.dirty].map((table) => ({
      table,
      generation: table.generation,
      bytes: new Uint8Array(table.view.buffer.slice(0)),
    }));
    const sectors = [...this.dirtyDirectory].map((sector) => ({ sector, copies: this.copySector(sector) }));
    if (isDurable) await this.file.flush();
    for (const { table, generation, bytes } of copies) {
      for (const directory of [this.redundant, this.directory]) {
        const offset = directory && this.offsetOf(directory, table.index);
        if (offset) await this.file.write(offset, bytes);
      }
      if (table.generation !== generation) continue;
      table.isDirty = false;
      this.dirty.delete(table);
    }
    if (sectors.length === 0) return;
    if (isDurable) await this.file.flush();
    for (const { sector, copies: parts } of sectors) {
      for (const { offset, bytes } of parts) await this.file.write(offset, bytes);
      if (this.isSectorAs(sector, parts)) this.dirtyDirectory.delete(sector);
    }
  }

  private copySector(sector: number): { offset: number; bytes: Uint8Array }[] {
    const { directoryOffset, redundantOffset } = this.layout;
    const part = (offset: number, { buffer }: DataView) => ({
      offset: offset + sector * sectorBytes,
      bytes: new Uint8Array(buffer.slice(sector * sectorBytes, (sector + 1) * sectorBytes)),
    });
    const own = part(directoryOffset, this.directory);
    if (!this.redundant || redundantOffset === undefined) return [own];
    return [part(redundantOffset, this.redundant), own];
  }

  private isSectorAs(sector: number, parts: readonly { bytes: Uint8Array }[]): boolean {
    return this.copySector(sector).every(({ bytes }, i) =>
      parts[i]?.bytes.every((byte, at) => byte === bytes[at]),
    );
  }

  private offsetOf(directory: DataView, index: number): number {
    return directory.getUint32(index * 4, true) * sectorBytes;
  }

  /** Where the tables are that the directory has. */
  *places(): Generator<{ index: number; offset: number }> {
    for (let index = 0; index < this.layout.directoryEntries; index++) {
      const offset = this.offsetOf(this.directory, index);
      if (offset !== 0) yield { index, offset };
    }
  }
}
