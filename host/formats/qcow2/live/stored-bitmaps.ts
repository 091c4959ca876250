/**
 * Persistent dirty bitmaps of an open image (specification: qcow2, section 6).
 *
 * Every change makes a new directory, and new tables for what is stored anew, in fresh clusters; when those and their
 * refcounts are durable the header switches over, and the old clusters are given back. Only the mark `in_use` is set in
 * place: until the first guest write after it, a directory with some of the marks is as true as one with all of them.
 * So a crash finds the old bitmaps or the new ones, all of them marked if something may have been written.
 *
 * Tables are read when bitmaps are loaded and when they are replaced; only the directory is kept in memory.
 */
import { assert } from '../../../base/assert.ts';
import { asBlockError, BlockError, invalid } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import type {
  BitmapShape,
  BitmapStorage,
  BitmapToStore,
  StoredBitmap,
} from '../../../block/bitmap-storage.ts';
import type { HierarchicalBitmap } from '../../../core/bitmap.ts';
import { FreeReason, MetadataClass } from '../../../core/qcow2-abi.ts';
import {
  type BitmapEntry,
  bitmapFlag,
  dataClusters,
  entryBytes,
  lengthOf,
  maxBitmapBytes,
  maxGranularityBits,
  maxNameBytes,
  readBitmapTable,
  serializeBitmapDirectory,
  serializeBitmapTable,
  tableEntry,
} from '../disk/bitmap-directory.ts';
import { maxBitmapDirectoryBytes, maxBitmaps } from '../disk/extensions.ts';
import { padded } from '../disk/image-file.ts';
import type { Qcow2Engine } from './engine.ts';
import { Qcow2JournalTie } from './journal-tie.ts';
import { type ClusterRun, releaseRun, writeRun } from './metadata-space.ts';

const maxGranularity = 2 ** maxGranularityBits;

/** Length of the stored form in bytes: whole words of 64 bits. */
function storedBytes(size: number, granularity: number): number {
  return Math.ceil(Math.ceil(size / granularity) / 64) * 8;
}

export class Qcow2BitmapStorage implements BitmapStorage {
  private readonly changes = new Mutex();
  /** Names of those whose mark is ours: nobody lost them. */
  private readonly markedHere = new Set<string>();
  readonly tie: Qcow2JournalTie;

  constructor(
    private readonly engine: Qcow2Engine,
    /** The directory on disk. */
    public entries: readonly BitmapEntry[],
  ) {
    this.tie = new Qcow2JournalTie(engine);
  }

  /** Version 2 has no header extension that other programs would clear. */
  get hasPlace(): boolean {
    return this.engine.header.version >= 3;
  }

  list(): readonly StoredBitmap[] {
    return this.entries.map((entry) => ({
      name: entry.name,
      granularity: entry.granularity,
      enabled: (entry.flags & bitmapFlag.auto) !== 0,
      inconsistent: !this.isConsistent(entry),
    }));
  }

  private isConsistent(entry: BitmapEntry): boolean {
    // What extra data of an unknown kind says about the bits, nobody knows.
    const understood = entry.extraData.length === 0 || (entry.flags & bitmapFlag.extraDataCompatible) !== 0;
    return understood && ((entry.flags & bitmapFlag.inUse) === 0 || this.markedHere.has(entry.name));
  }

  async load(name: string, bits: HierarchicalBitmap): Promise<void> {
    const { file, header } = this.engine;
    const { clusterSize } = header;
    const entry = this.entries.find((candidate) => candidate.name === name);
    const bytes = storedBytes(bits.size, bits.granularity);
    if (entry?.granularity !== bits.granularity || entry.tableEntries !== Math.ceil(bytes / clusterSize)) {
      throw invalid(`Bitmap '${name}' doesn't satisfy the constraints`);
    }
    const covered = clusterSize * 8 * bits.granularity;
    const table = await readBitmapTable(file, entry, clusterSize);
    for (const [index, value] of table.entries()) {
      if (value === tableEntry.allOnes) bits.set(index * covered, covered);
      if (value <= tableEntry.allOnes) continue;
      const words = new Uint8Array(Math.min(clusterSize, bytes - index * clusterSize));
      await file.read(value, words);
      bits.deserialize(words, index * covered);
    }
  }

  markInUse(): Promise<void> {
    return this.changes.run(async () => {
      const unmarked = this.entries.filter(({ flags }) => (flags & bitmapFlag.inUse) === 0);
      if (unmarked.length === 0) return;
      const { file, header } = this.engine;
      assert(header.bitmaps, 'no directory');
      const marked = this.entries.map((entry) => ({ ...entry, flags: entry.flags | bitmapFlag.inUse }));
      // A directory never shares its last sector.
      const bytes = padded(serializeBitmapDirectory(marked), sectorBytes);
      const { directoryOffset } = header.bitmaps;
      try {
        await this.engine.checkOverlap(directoryOffset, bytes.length, MetadataClass.bitmapDirectory);
        await file.write(directoryOffset, bytes);
        await file.flush();
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
        throw error.within("Can't update bitmap directory");
      }
      this.entries = marked;
      for (const { name } of unmarked) this.markedHere.add(name);
    });
  }

  checkRoom(added: BitmapShape, others: readonly BitmapShape[], size: number): void {
    const { clusterSize } = this.engine.header;
    if (!this.hasPlace) throw invalid('Cannot store dirty bitmaps in qcow2 v2 files');
    const nameBytes = (name: string) => new TextEncoder().encode(name).length;
    if (nameBytes(added.name) > maxNameBytes) {
      throw invalid(`Name length exceeds maximum (${maxNameBytes} characters)`);
    }
    if (added.granularity > maxGranularity) {
      throw invalid(`Granularity exceeds maximum (${maxGranularity} bytes)`);
    }
    if (roundUp(storedBytes(size, added.granularity), clusterSize) > maxBitmapBytes) {
      throw invalid('Too much space will be occupied by the bitmap. Use larger granularity');
    }
    // Those in memory may not be in the directory yet, those in the directory that nobody loaded are not in memory.
    const lengths = new Map(this.entries.map((entry) => [entry.name, lengthOf(entry)]));
    for (const { name } of [...others, added]) {
      if (!lengths.has(name)) lengths.set(name, entryBytes(nameBytes(name)));
    }
    if (lengths.size > maxBitmaps) throw invalid('Maximum number of persistent bitmaps is already reached');
    const total = [...lengths.values()].reduce((sum, length) => sum + length, 0);
    if (total > maxBitmapDirectoryBytes) throw invalid('Not enough space in the bitmap directory');
  }

  store(bitmaps: readonly BitmapToStore[]): Promise<void> {
    return this.changes.run(() =>
      this.replaceDirectory(async (used) => {
        const entries = [...this.entries];
        for (const bitmap of bitmaps) {
          const entry = await this.writeBitmap(bitmap, used).catch((error: unknown) => {
            throw asBlockError(error).within(`Failed to write bitmap '${bitmap.name}' to file`);
          });
          const place = entries.findIndex(({ name }) => name === bitmap.name);
          const old = entries[place];
          if (old === undefined) entries.push(entry);
          else entries[place] = inPlaceOf(old, entry);
        }
        return entries;
      }),
    );
  }

  remove(name: string): Promise<void> {
    return this.changes.run(async () => {
      if (!this.entries.some((entry) => entry.name === name)) return;
      await this.replaceDirectory(async () => this.entries.filter((entry) => entry.name !== name));
    });
  }

  /** Switches to the entries that `make` returns, having added what it allocated for them to `used`. */
  private async replaceDirectory(
    make: (used: ClusterRun[]) => Promise<readonly BitmapEntry[]>,
  ): Promise<void> {
    const { engine } = this;
    engine.checkUsable();
    const used: ClusterRun[] = [];
    let entries: readonly BitmapEntry[];
    let directory: { bytes: Uint8Array; offset: number } | undefined;
    try {
      entries = await make(used);
      if (entries.length > 0) {
        const bytes = serializeBitmapDirectory(entries);
        directory = { bytes, offset: await this.writeTable(bytes, used) };
      }
    } catch (error) {
      for (const run of used) await releaseRun(engine, run);
      throw error;
    }
    const replaced = await this.replacedBy(entries);
    // Everything new is durable before the switch. Should that fail, nobody knows which directory the header on disk shows:
    // both stay allocated.
    await engine.exclusively(() =>
      engine.updateHeader({
        bitmaps: directory
          ? {
              bitmapCount: entries.length,
              directoryBytes: directory.bytes.length,
              directoryOffset: directory.offset,
            }
          : null,
      }),
    );
    this.entries = entries;
    for (const { name, flags } of entries) if ((flags & bitmapFlag.inUse) === 0) this.markedHere.delete(name);
    for (const run of replaced) await releaseRun(engine, run, run.reason);
  }

  /** What of the present directory and its tables is not part of `entries`. */
  private async replacedBy(entries: readonly BitmapEntry[]): Promise<ReplacedRun[]> {
    const { file, header } = this.engine;
    const { bitmaps, clusterSize } = header;
    const runs: ReplacedRun[] = [];
    const add = (offset: number, bytes: number, reason: number = FreeReason.other) =>
      void runs.push({ offset, clusters: Math.ceil(bytes / clusterSize), reason });
    if (bitmaps) add(bitmaps.directoryOffset, bitmaps.directoryBytes);
    const kept = new Set(entries.map(({ tableOffset }) => tableOffset));
    for (const entry of this.entries) {
      if (kept.has(entry.tableOffset)) continue;
      let table: Float64Array;
      try {
        table = await readBitmapTable(file, entry, clusterSize);
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
        // What a damaged table refers to is left to the consistency check, as leaks.
        continue;
      }
      for (const offset of dataClusters(table)) add(offset, clusterSize, FreeReason.always);
      add(entry.tableOffset, entry.tableEntries * 8);
    }
    return runs;
  }

  private async writeBitmap(bitmap: BitmapToStore, used: ClusterRun[]): Promise<BitmapEntry> {
    const { clusterSize } = this.engine.header;
    const { name, bits, granularity } = bitmap;
    const covered = clusterSize * 8 * granularity;
    const tableEntries = Math.ceil(storedBytes(bits.size, granularity) / clusterSize);
    if (tableEntries === 0) throw invalid('A bitmap of no bytes');
    const table = new Float64Array(tableEntries);
    for (let at = bits.nextDirty(0, bits.size); at >= 0; ) {
      const index = Math.floor(at / covered);
      const start = index * covered;
      const length = Math.min(covered, bits.size - start);
      const unit = clusterSize;
      table[index] = await writeRun(this.engine, bits.serialize(start, length), { used, unit });
      const next = start + length;
      at = next < bits.size ? bits.nextDirty(next, bits.size - next) : -1;
    }
    return {
      name,
      nameBytes: new TextEncoder().encode(name),
      extraData: new Uint8Array(),
      granularity,
      flags: bitmap.enabled ? bitmapFlag.auto : 0,
      tableOffset: await this.writeTable(serializeBitmapTable(table), used),
      tableEntries,
    };
  }

  /** Writes a table or directory to fresh clusters in a row; readers take no more than there is in it. Where it is. */
  private writeTable(bytes: Uint8Array, used: ClusterRun[]): Promise<number> {
    return writeRun(this.engine, bytes, { used, unit: sectorBytes });
  }
}

interface ReplacedRun extends ClusterRun {
  /** A `FreeReason`. */
  readonly reason: number;
}

/** A bitmap that is stored again keeps its name byte for byte, and extra data that says nothing about its bits. */
function inPlaceOf(old: BitmapEntry, entry: BitmapEntry): BitmapEntry {
  const { nameBytes, extraData } = old;
  const compatible = old.flags & bitmapFlag.extraDataCompatible;
  return { ...entry, nameBytes, ...(compatible ? { extraData, flags: entry.flags | compatible } : {}) };
}
