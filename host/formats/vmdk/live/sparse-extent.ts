/**
 * A sparse extent: where its grains are in its file, and where new ones go (specification: vmdk, section 3).
 *
 * A new grain is at the end of the file. Until its data is there, and committed, others who want to write to it wait; no table
 * refers to it before (grain-tables.ts). Grains of zeros keep the place that they have, so none is ever given up.
 */
import { createDeferred, type Deferred } from '../../../base/deferred.ts';
import { BlockError } from '../../../base/errors.ts';
import type { MaybePromise } from '../../../base/maybe-promise.ts';
import { Mutex } from '../../../base/mutex.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import type { Allocation, Extent, WritePlan, ZeroFlags } from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { fillAllocation } from '../../../block/transfer.ts';
import { serializeGrain } from '../disk/markers.ts';
import type { SparseLayout } from '../disk/sparse-header.ts';
import { compressGrain, readGrain } from './compressed-grain.ts';
import type { DiskExtent, ZeroesDone } from './extent.ts';
import { type GrainTable, GrainTables } from './grain-tables.ts';

/** What entries of tables can refer to: 2 TiB. */
const maxFileBytes = 2 ** 32 * sectorBytes;
/** Entry of a grain of zeros, where the header says that there are such. */
const zeroedGrain = 1;

/** A compressed grain on its way from `map` to `readSpecial`. */
export interface CompressedExtent {
  type: 'special';
  bytes: number;
  extent: SparseExtent;
  hostOffset: number;
  /** Of the grain, in the extent. */
  grainOffset: number;
}

export class SparseExtent implements DiskExtent {
  readonly bytes: number;
  readonly grainBytes: number;
  readonly info;
  /** Where the next grain goes. */
  private end: number;
  /** Grains that are being written for the first time, and who waits for that. */
  private readonly allocating = new Map<number, Deferred<void>>();
  /** Of compressed grains, which are in the file in the order in which they came. */
  private readonly compressedTurns = new Mutex();

  private constructor(
    private readonly context: OpenContext,
    readonly file: Edge,
    readonly layout: SparseLayout,
    readonly tables: GrainTables,
    format: string,
  ) {
    const { diskBytes, grainBytes, isCompressed } = layout;
    this.bytes = diskBytes;
    this.grainBytes = grainBytes;
    this.info = {
      format,
      file,
      clusterBytes: grainBytes,
      ...(isCompressed && { compressed: true as const }),
    };
    const { length } = file;
    const unit = isCompressed ? sectorBytes : grainBytes;
    this.end = roundUp(length, unit);
  }

  /** `format`: as its line in the descriptor calls it. */
  static async open(
    context: OpenContext,
    file: Edge,
    layout: SparseLayout,
    format: string,
  ): Promise<SparseExtent> {
    return new SparseExtent(context, file, layout, await GrainTables.open(file, layout), format);
  }

  // Reading.

  map(offset: number, bytes: number): MaybePromise<Extent> {
    const extent = this.tryMap(offset, bytes);
    return extent instanceof Promise ? extent.then(() => this.map(offset, bytes)) : extent;
  }

  /** A promise: to try again when it is settled. */
  private tryMap(offset: number, bytes: number): Extent | Promise<void> {
    const place = this.placeOf(offset, bytes);
    const { index, entry, grains } = place;
    if (!this.tables.has(index)) return { type: 'unallocated', bytes: place.bytes };
    const table = this.tables.peek(index);
    if (!table) return this.tables.load(index);
    const kind = this.kindOf(table, entry);
    const count = this.runLength(table, entry, grains);
    const run = Math.min(place.bytes, count * this.grainBytes - place.inGrain);
    if (kind !== 'data') return { type: kind, bytes: run };
    const hostOffset = this.hostOffset(table, entry);
    if (!this.layout.isCompressed)
      return { type: 'data', bytes: run, child: this.file, offset: hostOffset + place.inGrain };
    const grainOffset = offset - place.inGrain;
    const special: CompressedExtent = {
      ...{ type: 'special', bytes: Math.min(run, this.grainBytes - place.inGrain) },
      ...{ extent: this, hostOffset, grainOffset },
    };
    return special;
  }

  async readCompressed({ hostOffset, grainOffset }: CompressedExtent): Promise<Uint8Array> {
    const bytes = Math.min(this.grainBytes, this.bytes - grainOffset);
    const grain = { offset: grainOffset, bytes, isShort: bytes < this.grainBytes };
    return readGrain(this.context.platform.codecs, this.file, hostOffset, grain);
  }

  /** The table that an offset is in, and how much of the range that one has. */
  private placeOf(offset: number, bytes: number) {
    const { grainBytes } = this;
    const { tableEntries } = this.layout;
    const inGrain = offset % grainBytes;
    const grain = (offset - inGrain) / grainBytes;
    const entry = grain % tableEntries;
    const index = (grain - entry) / tableEntries;
    const inTable = Math.min(bytes, (tableEntries - entry) * grainBytes - inGrain);
    return {
      grain,
      index,
      entry,
      inGrain,
      bytes: inTable,
      grains: Math.ceil((inGrain + inTable) / grainBytes),
    };
  }

  private kindOf(table: GrainTable, entry: number): 'unallocated' | 'zero' | 'data' {
    const sector = table.view.getUint32(entry * 4, true);
    if (sector === 0) return 'unallocated';
    return sector === zeroedGrain && this.layout.hasZeroedGrains ? 'zero' : 'data';
  }

  private hostOffset(table: GrainTable, entry: number): number {
    return table.view.getUint32(entry * 4, true) * sectorBytes;
  }

  /** How many grains from `entry` on, of at most `grains`, are alike, and one after the other in the file. */
  private runLength(table: GrainTable, entry: number, grains: number): number {
    const kind = this.kindOf(table, entry);
    const start = this.hostOffset(table, entry);
    let count = 1;
    while (count < grains && this.kindOf(table, entry + count) === kind) {
      if (kind === 'data' && this.hostOffset(table, entry + count) !== start + count * this.grainBytes) break;
      count++;
    }
    return count;
  }

  // Writing.

  prepareWrite(offset: number, bytes: number): MaybePromise<WritePlan> {
    const plan = this.tryPrepare(offset, bytes);
    return plan instanceof Promise ? plan.then(() => this.prepareWrite(offset, bytes)) : plan;
  }

  private tryPrepare(offset: number, bytes: number): WritePlan | Promise<void> {
    const place = this.placeOf(offset, bytes);
    const { grain, index, entry, inGrain } = place;
    const table = this.tableForWriting(index);
    if (table instanceof Promise) return table;
    const busy = this.allocating.get(grain);
    if (busy) return busy.promise;
    if (this.kindOf(table, entry) === 'data') {
      const count = this.runLength(table, entry, place.grains);
      const start = this.hostOffset(table, entry);
      this.refuseMetadata(start, start + count * this.grainBytes);
      const run = Math.min(place.bytes, count * this.grainBytes - inGrain);
      return { bytes: run, child: this.file, offset: start + inGrain };
    }
    let grains = 1;
    while (
      grains < place.grains &&
      !this.allocating.has(grain + grains) &&
      this.kindOf(table, entry + grains) !== 'data'
    )
      grains++;
    const headBytes = inGrain;
    const run = Math.min(place.bytes, grains * this.grainBytes - inGrain);
    const tailBytes = grains * this.grainBytes - inGrain - run;
    const hostOffset = this.allocate(grains * this.grainBytes);
    const allocation = { headBytes, tailBytes, ...this.allocation({ grain, grains, hostOffset }) };
    return { bytes: run, child: this.file, offset: hostOffset + inGrain, allocation };
  }

  private tableForWriting(index: number): GrainTable | Promise<void> {
    if (!this.tables.has(index)) this.tables.create(index, (bytes) => this.allocate(bytes));
    return this.tables.peek(index) ?? this.tables.load(index);
  }

  /** What a table says may be wrong: metadata would be lost. Errors: EIO. */
  private refuseMetadata(start: number, end: number): void {
    const { overheadBytes, directoryOffset, redundantOffset, directoryEntries } = this.layout;
    const overlaps = (offset: number | undefined): boolean =>
      offset !== undefined && start < offset + directoryEntries * 4 && end > offset;
    if (
      start < Math.max(overheadBytes, sectorBytes) ||
      overlaps(directoryOffset) ||
      overlaps(redundantOffset)
    )
      throw new BlockError('EIO', `Grain table refers to metadata at ${start}`);
  }

  /** The offset of that many bytes. Errors: ENOSPC. */
  private allocate(bytes: number): number {
    const offset = this.end;
    if (offset + bytes > maxFileBytes)
      throw new BlockError('ENOSPC', `Sparse extents are at most ${maxFileBytes} bytes`);
    this.end = offset + bytes;
    return offset;
  }

  private allocation(run: {
    grain: number;
    grains: number;
    hostOffset: number;
  }): Pick<Allocation, 'commit' | 'abort'> {
    const { grain, grains, hostOffset } = run;
    const done = createDeferred();
    for (let i = 0; i < grains; i++) this.allocating.set(grain + i, done);
    const release = (): void => {
      for (let i = 0; i < grains; i++) this.allocating.delete(grain + i);
      done.resolve();
    };
    const end = hostOffset + grains * this.grainBytes;
    const abort = (): void => {
      if (this.end === end) this.end = hostOffset;
      release();
    };
    return {
      commit: async () => {
        try {
          await this.fillUp(end);
          await this.refer(grain, grains, (i) => (hostOffset + i * this.grainBytes) / sectorBytes);
        } catch (error) {
          abort();
          throw error;
        }
        release();
        await this.keepBounds();
      },
      abort,
    };
  }

  /** Zeros at the end of a grain have to be in the file, too: not every reader takes less than whole grains. */
  private async fillUp(end: number): Promise<void> {
    if (this.file.node.exactLength < end)
      await this.file.write(end - sectorBytes, new Uint8Array(sectorBytes));
  }

  /** Sets the entries of grains that are all in one table. */
  private async refer(grain: number, grains: number, sectorOf: (i: number) => number): Promise<void> {
    await this.withTable(grain, (table, entry) => {
      for (let i = 0; i < grains; i++) this.tables.set(table, entry + i, sectorOf(i));
    });
  }

  /** Calls with the table of a grain, which is there as long as the call takes, and the grain's entry of it. */
  private async withTable<T>(grain: number, act: (table: GrainTable, entry: number) => T): Promise<T> {
    const entry = grain % this.layout.tableEntries;
    const index = (grain - entry) / this.layout.tableEntries;
    for (;;) {
      const table = this.tableForWriting(index);
      if (!(table instanceof Promise)) return act(table, entry);
      await table;
    }
  }

  private async keepBounds(): Promise<void> {
    if (this.tables.isFull) await this.tables.writeBack(true);
  }

  // Compressed.

  /** Exactly one grain that there is not yet; the last of the extent may be short. Errors: EINVAL, EIO. */
  async writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    const { grainBytes } = this;
    const isWhole = buffer.length === grainBytes || offset + buffer.length === this.bytes;
    if (offset % grainBytes !== 0 || buffer.length > grainBytes || !isWhole)
      throw new BlockError('EINVAL', `Compressed grains are written whole: ${grainBytes} bytes`);
    const grain = offset / grainBytes;
    const whole = new Uint8Array(grainBytes);
    whole.set(buffer);
    const turn = this.compressedTurns.acquire();
    try {
      const data = serializeGrain(offset, await compressGrain(this.context.platform.codecs, whole));
      const release = await turn;
      const hostOffset = await this.placeCompressed(grain, data.length);
      release();
      const allocation = {
        commit: async () => {
          await this.refer(grain, 1, () => hostOffset / sectorBytes);
          this.allocating.get(grain)?.resolve();
          this.allocating.delete(grain);
          await this.keepBounds();
        },
        abort: () => {
          this.allocating.get(grain)?.resolve();
          this.allocating.delete(grain);
        },
      };
      await fillAllocation(allocation, () => this.file.write(hostOffset, data));
    } finally {
      void turn.then((release) => release());
    }
  }

  private placeCompressed(grain: number, bytes: number): Promise<number> {
    return this.withTable(grain, (table, entry) => {
      if (this.allocating.has(grain) || this.kindOf(table, entry) !== 'unallocated')
        throw new BlockError('EIO', 'Could not write to allocated cluster for streamOptimized');
      this.allocating.set(grain, createDeferred());
      return this.allocate(bytes);
    });
  }

  // Zeros.

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<ZeroesDone> {
    const busy = this.allocating.get(this.placeOf(offset, bytes).grain);
    if (busy) {
      await busy.promise;
      return { bytes: 0 };
    }
    const extent = await this.map(offset, bytes);
    if (extent.type === 'zero') return { bytes: extent.bytes };
    if (extent.type === 'unallocated') {
      // Whoever is writing beside it fills up with zeros.
      return this.context.hasBacking() ? this.setZeroed(offset, extent.bytes) : { bytes: extent.bytes };
    }
    if (extent.type !== 'data') return { bytes: extent.bytes, needsData: true };
    this.refuseMetadata(extent.offset, extent.offset + extent.bytes);
    await this.file.writeZeroes(extent.offset, extent.bytes, flags);
    return { bytes: extent.bytes };
  }

  /** Grains that are not there become such of zeros. */
  private async setZeroed(offset: number, bytes: number): Promise<ZeroesDone> {
    const { grain, index, inGrain, grains, entry } = this.placeOf(offset, bytes);
    const whole = offset + bytes === this.bytes ? grains : Math.floor(bytes / this.grainBytes);
    if (!this.layout.hasZeroedGrains) return { bytes, needsData: true };
    if (inGrain !== 0 || whole === 0)
      return { bytes: Math.min(bytes, this.grainBytes - inGrain), needsData: true };
    const table = this.tableForWriting(index);
    if (table instanceof Promise) {
      await table;
      return { bytes: 0 };
    }
    let count = 0;
    const isFree = (i: number): boolean =>
      !this.allocating.has(grain + i) && this.kindOf(table, entry + i) === 'unallocated';
    for (; count < whole && isFree(count); count++) this.tables.set(table, entry + count, zeroedGrain);
    await this.keepBounds();
    return { bytes: Math.min(bytes, count * this.grainBytes) };
  }

  writeBack(isDurable: boolean): Promise<void> {
    return this.tables.writeBack(isDurable);
  }
}
