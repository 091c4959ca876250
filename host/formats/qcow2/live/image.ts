/**
 * The qcow2 driver: answers mappings and prepares writes with the engine in the core (live/engine.ts), and knows nothing
 * about moving guest data (specification: qcow2, sections 1.2, 3 and 4).
 *
 * Many requests may be in flight; the core says which must wait for which. External data files and extended L2 entries
 * are refused when an image is opened for I/O.
 */
import { assert } from '../../../base/assert.ts';
import { BlockError } from '../../../base/errors.ts';
import type { MaybePromise } from '../../../base/maybe-promise.ts';
import { Mutex } from '../../../base/mutex.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type {
  Allocation,
  Driver,
  DriverInfo,
  Extent,
  Limits,
  ReopenChange,
  ReopenStep,
  TruncateOptions,
  WritePlan,
  ZeroFlags,
} from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { Qcow2Core } from '../../../core/qcow2.ts';
import { Mapping, UnmapMode, WriteResult } from '../../../core/qcow2-abi.ts';
import type { PreparedWrite } from '../../../core/qcow2-results.ts';
import { loadPart, type Timer } from '../../../platform/platform.ts';
import { defaultCaches } from '../caches.ts';
import { type BitmapEntry, readBitmapDirectory } from '../disk/bitmap-directory.ts';
import { hasStaleBitmaps } from '../disk/extensions.ts';
import { incompatible } from '../disk/feature-bits.ts';
import {
  CryptMethod,
  type Qcow2Header,
  readHeader,
  requireStandardImage,
  validateLayout,
} from '../disk/header.ts';
import { encodeBackingName, type HeaderChanges, prepareForWriting } from '../disk/header-update.ts';
import { readSnapshotTable } from '../disk/snapshot-table.ts';
import { describeImage } from '../info.ts';
import { type Qcow2Options, type ResolvedOptions, resolveOptions } from '../options.ts';
import { readCompressed } from './compressed.ts';
import type { Encryption } from './encryption.ts';
import { Qcow2Engine } from './engine.ts';
import { hasHoles } from './holes.ts';
import { findSnapshotRanges, protectSnapshots } from './overlap-check.ts';
import { Qcow2Snapshots } from './snapshot-storage.ts';
import { Qcow2BitmapStorage } from './stored-bitmaps.ts';
import { CheckOnlyDriver, type ImageTables, InfoDriver } from './without-data.ts';
import { wholeClusters, writeZeroes } from './zeroes.ts';

/** A compressed cluster on its way from `map` to `readSpecial`. */
interface CompressedExtent {
  type: 'special';
  bytes: number;
  entry: bigint;
}

/** A plan of this driver is always a transfer that its user ends (transfer-gate.ts). */
interface Transfer extends WritePlan {
  transfer: number;
}

/** What is encrypted in one go, and in one buffer. */
const maxEncryptedTransfer = 1 << 20;

export class Qcow2Driver implements Driver {
  backing: { filename: string; format: string | undefined } | undefined;
  readonly limits: Partial<Limits>;
  /** Another one after the node was reopened, as `engine`. */
  bitmapStorage: Qcow2BitmapStorage;
  snapshots: Qcow2Snapshots;
  encryption: Encryption | undefined;
  /** Of compressed clusters that are being written. */
  readonly compressedWrites = new Mutex();
  private cleaning: Pick<Timer, 'cancel'> | undefined;

  constructor(
    public engine: Qcow2Engine,
    readonly context: OpenContext,
    facts: ImageTables,
    private options: Qcow2Options,
  ) {
    const { header } = engine;
    this.bitmapStorage = new Qcow2BitmapStorage(engine, facts.bitmaps);
    this.snapshots = new Qcow2Snapshots(this, facts.snapshots);
    this.encryption = facts.encryption;
    this.limits = {
      writeZeroesAlignment: header.clusterSize,
      discardAlignment: header.clusterSize,
      ...(facts.encryption && { requestAlignment: sectorBytes, maxTransfer: maxEncryptedTransfer }),
    };
    if (header.backingFile !== undefined) {
      this.backing = { filename: header.backingFile, format: header.backingFormat };
    }
    this.scheduleCleaning();
  }

  private scheduleCleaning(): void {
    this.cleaning?.cancel();
    this.cleaning = this.engine.options.caches.keepClean?.(this);
  }

  /** Asked for once: as with QEMU, the answer stays for as long as the image is open so. */
  private holes: boolean | undefined;

  mayHaveHoles(): MaybePromise<boolean> {
    return this.holes ?? this.lookForHoles();
  }

  private async lookForHoles(): Promise<boolean> {
    this.holes = await hasHoles(this.engine, this.context.platform.clock);
    return this.holes;
  }

  /** Clusters that are mapped from the start show what the file holds there. */
  get hasZeroInit(): boolean {
    return this.backing === undefined && this.engine.file.node.driver.hasZeroInit === true;
  }

  private get clusterSize(): number {
    return this.engine.header.clusterSize;
  }

  async getLength(): Promise<number> {
    return this.engine.header.size;
  }

  beginTransfer(): number {
    return this.engine.gate.begin();
  }

  endTransfer(transfer: number): void {
    this.engine.gate.end(transfer);
  }

  map(offset: number, bytes: number): Extent | Promise<Extent> {
    const extent = this.tryMap(offset, bytes);
    if (typeof extent !== 'number') return extent;
    return this.engine.run(() => this.tryMap(offset, bytes), extent);
  }

  private tryMap(offset: number, bytes: number): Extent | number {
    const { engine } = this;
    engine.checkUsable();
    try {
      const code = engine.core.map(offset, bytes);
      return code < 0 ? code : this.extent(code, offset);
    } catch (error) {
      throw engine.trapped(error);
    }
  }

  private extent(code: number, guest: number): Extent {
    const { engine } = this;
    if (code !== Mapping.normal) return this.otherExtent(code);
    const { bytes, offset } = engine.core.mapped;
    return { type: 'data', bytes, child: engine.placeOf(guest, offset), offset };
  }

  private otherExtent(code: number): Extent {
    const { core, file } = this.engine;
    const { bytes, offset } = core.mapped;
    if (code === Mapping.unallocated) return { type: 'unallocated', bytes };
    if (code === Mapping.zeroPlain) return { type: 'zero', bytes };
    if (code === Mapping.zeroAllocated) return { type: 'zero', bytes, child: file, offset };
    const extent: CompressedExtent = { type: 'special', bytes, entry: core.mapped.compressedEntry };
    return extent;
  }

  async readSpecial(extent: Extent & { type: 'special' }, offset: number, buffer: Uint8Array): Promise<void> {
    const { entry } = extent as CompressedExtent;
    const cluster = await readCompressed(this.engine, this.context, entry);
    const start = offset % this.clusterSize;
    buffer.set(cluster.subarray(start, start + buffer.length));
  }

  prepareWrite(offset: number, bytes: number): Transfer | Promise<Transfer> {
    const plan = this.tryPrepare(offset, bytes);
    if (typeof plan !== 'number') return plan;
    return this.engine.run(() => this.tryPrepare(offset, bytes), plan);
  }

  private tryPrepare(offset: number, bytes: number): Transfer | number {
    const { engine } = this;
    const { core } = engine;
    engine.checkUsable();
    try {
      const code = core.prepareWrite(offset, bytes);
      if (code < 0) return code;
      const { prepared } = core;
      const plan: Transfer = {
        bytes: prepared.bytes,
        child: engine.placeOf(offset, prepared.offset),
        offset: prepared.offset,
        transfer: engine.gate.begin(),
      };
      if (code === WriteResult.allocated) plan.allocation = this.allocation(prepared);
      return plan;
    } catch (error) {
      throw engine.trapped(error);
    }
  }

  private allocation({ token, headBytes, tailBytes }: PreparedWrite): Allocation {
    const { engine } = this;
    return {
      headBytes,
      tailBytes,
      commit: () => engine.commit(token),
      abort: () => engine.abort(token),
    };
  }

  async writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    const part = await loadPart(this.context.platform, () => import('./on-demand.ts'));
    await part.writeCompressedCluster(this, offset, buffer);
  }

  writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    return writeZeroes(this, offset, bytes, flags);
  }

  async discard(offset: number, bytes: number): Promise<void> {
    const { header } = this.engine;
    if (header.version < 3 && this.context.hasBacking()) throw new BlockError('ENOTSUP');
    const { first, last } = wholeClusters(header, offset, offset + bytes);
    if (first < last) await this.unmap(first, last, UnmapMode.discard);
  }

  /** Changes the mapping of guest clusters `first` up to, not including, `last`. */
  async unmap(first: number, last: number, mode: number): Promise<void> {
    const { engine } = this;
    const inPlace = this.modeInPlace(mode);
    if (inPlace !== mode) {
      const { unmapInPlace } = await loadPart(this.context.platform, () => import('./on-demand.ts'));
      return unmapInPlace(this, { first, last }, inPlace);
    }
    for (let cluster = first; cluster < last; ) {
      const done = await engine.run(() =>
        engine.core.unmap(cluster, last - cluster, { mode, hasBacking: this.context.hasBacking() }),
      );
      cluster += done.clusters;
    }
  }

  /** With discard-no-unref, what would give clusters up keeps them. */
  modeInPlace(mode: number): number {
    if (!this.engine.options.discardNoUnref) return mode;
    if (mode === UnmapMode.discard) return UnmapMode.discardKeeping;
    return mode === UnmapMode.unmap ? UnmapMode.keep : mode;
  }

  async flush(): Promise<void> {
    this.engine.checkUsable();
    await this.engine.writeback();
  }

  async writeOut(): Promise<void> {
    await this.engine.writeOut();
  }

  async truncate(length: number, options: TruncateOptions): Promise<void> {
    const { resize } = await loadPart(this.context.platform, () => import('./on-demand.ts'));
    await resize(this, length, options);
    this.holes = undefined;
  }

  info(): DriverInfo {
    return describeImage({
      header: this.engine.header,
      snapshots: this.snapshots.list(),
      bitmaps: this.bitmapStorage.entries,
      encryption: this.encryption,
    });
  }

  get hasSnapshots(): boolean {
    return this.snapshots.list().length > 0;
  }

  async changeBackingFile(filename: string | undefined, format: string | undefined): Promise<void> {
    encodeBackingName(filename);
    await this.engine.updateHeader({ backing: filename === undefined ? null : { filename, format } });
    this.backing = filename === undefined ? undefined : { filename, format };
  }

  /** Everything is written back, and the image loaded anew under the new options. */
  async reopen({ flags, options }: ReopenChange<Qcow2Options>): Promise<ReopenStep> {
    await settleOptions(this.context, options, this.engine.header, flags.discard);
    if (!this.context.flags.readOnly) await this.engine.settle();
    return {
      afterCommit: async () => {
        this.options = options;
        await this.reload();
      },
    };
  }

  /** The image as its file is now. For a drained node, with everything of the former state settled. */
  async reload(): Promise<void> {
    const { engine, facts } = await load(this.context, this.engine.file, this.options, this.encryption);
    assert(engine, 'opened for its facts alone');
    this.engine = engine;
    this.encryption = facts.encryption;
    this.holes = undefined;
    this.bitmapStorage = new Qcow2BitmapStorage(engine, facts.bitmaps);
    this.snapshots = new Qcow2Snapshots(this, facts.snapshots);
    this.scheduleCleaning();
  }

  /** Changes what the core knows of the header, durably. For an image that nobody uses meanwhile. */
  async changeHeader(changes: HeaderChanges): Promise<void> {
    await this.engine.settle();
    await this.engine.updateHeader(changes);
    await this.reload();
  }

  async makeEmpty(): Promise<void> {
    const { makeEmpty } = await loadPart(this.context.platform, () => import('./on-demand.ts'));
    await makeEmpty(this);
  }

  async close(): Promise<void> {
    this.cleaning?.cancel();
    if (!this.context.flags.readOnly) await this.engine.settle();
  }
}

/** What blockdev-add does. */
export async function open(context: OpenContext, options: Qcow2Options): Promise<Driver> {
  const file = await context.openChild('file', 'file');
  const { flags } = context;
  if (flags.check) {
    const header = await readHeader(file, flags);
    warnOfStaleBitmaps(context, header);
    // No data is looked at, which takes no key; a wrong one is told all the same.
    if (options.encrypt) {
      await settleOptions(context, options, header, flags.discard);
      await openEncryption(context, file, header, options);
    }
    return new CheckOnlyDriver(header, file);
  }
  const loaded = await load(context, file, options);
  if (!loaded.engine) return new InfoDriver(loaded.header, loaded.facts);
  return new Qcow2Driver(loaded.engine, context, loaded.facts, options);
}

interface LoadedImage {
  header: Qcow2Header;
  facts: ImageTables;
  /** Absent when only facts were asked for. */
  engine?: Qcow2Engine;
}

/** Reads the image as its file is now, and makes it ready for writing if it is to be. `opened`: with its key, before. */
async function load(
  context: OpenContext,
  file: Edge,
  options: Qcow2Options,
  opened?: Encryption,
): Promise<LoadedImage> {
  const { flags } = context;
  let header = await readHeader(file, flags);
  warnOfStaleBitmaps(context, header);
  let table = await readSnapshotTable(file, header);
  if (!flags.noIo) requireStandardImage(header);
  const resolved = await settleOptions(context, options, header, flags.discard);
  const encryption = opened ?? (await openEncryption(context, file, header, options));
  if (!flags.readOnly && !flags.noIo) {
    validateLayout(header, table.bytes);
    header = await prepareWritable(context, file, header);
    // A repair may have written it anew.
    table = await readSnapshotTable(file, header);
  }
  const bitmaps = await readBitmaps(file, header);
  const facts = { snapshots: table, bitmaps, encryption };
  if (flags.noIo) return { header, facts };
  const core = new Qcow2Core({
    clusterBits: header.clusterBits,
    refcountOrder: header.refcountOrder,
    version: header.version,
    l1Entries: header.l1Size,
    refcountTableEntries: (header.refcountTableClusters * header.clusterSize) / 8,
    l1Offset: header.l1TableOffset,
    refcountTableOffset: header.refcountTableOffset,
    l2EntryBits: Math.log2(resolved.caches.l2EntryBytes),
    l2EntryCount: resolved.caches.l2EntryCount,
    refcountEntryCount: resolved.caches.refcountEntryCount,
    overlapMask: resolved.overlapMask,
  });
  await file.debugEvent('reftable_load');
  await Promise.all([
    readTable(file, header.l1TableOffset, core.activeL1(header.l1Size)),
    readTable(file, header.refcountTableOffset, core.refcountTable),
  ]);
  core.tablesLoaded();
  const engine = new Qcow2Engine(core, file, header, resolved, context);
  if (encryption?.placeOf) engine.placeOf = encryption.placeOf;
  if (!flags.readOnly)
    protectSnapshots(core, await findSnapshotRanges(engine, table, header.snapshotsOffset));
  return { header, facts, engine };
}

async function openEncryption(
  context: OpenContext,
  file: Edge,
  header: Qcow2Header,
  options: Qcow2Options,
): Promise<Encryption | undefined> {
  if (header.cryptMethod === CryptMethod.none) return undefined;
  const part = await loadPart(context.platform, () => import('./encryption.ts'));
  return part.openEncryption(context, file, header, options);
}

/** Reads a table into memory that is clear. What it has no entries in takes none: most refcount tables are short, in a cluster. */
async function readTable(file: Edge, offset: number, table: Uint8Array): Promise<void> {
  for (let start = 0; start < table.length; start += tablePartBytes) {
    const words = new Uint32Array(Math.min(tablePartBytes, table.length - start) / 4);
    const part = new Uint8Array(words.buffer);
    await file.read(offset + start, part);
    for (let at = 0; at < words.length; at += pageWords) {
      let word = at;
      const end = Math.min(words.length, at + pageWords);
      while (word < end && words[word] === 0) word++;
      if (word < end) table.set(part.subarray(at * 4, end * 4), start + at * 4);
    }
  }
}

const tablePartBytes = 1 << 20;
/** What operating systems give memory in: 4 KiB. */
const pageWords = 1024;

async function settleOptions(
  { platform }: OpenContext,
  options: Qcow2Options,
  header: Qcow2Header,
  discard: boolean,
): Promise<ResolvedOptions> {
  const caches = Object.keys(options).some((name) => name.includes('cache'))
    ? (await loadPart(platform, () => import('./on-demand.ts'))).chooseCaches(options, header)
    : defaultCaches(header);
  return resolveOptions(options, header, { discard, caches });
}

function warnOfStaleBitmaps(context: OpenContext, header: Qcow2Header): void {
  if (!hasStaleBitmaps(header)) return;
  context.warn(
    'a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent\n' +
      "Some clusters may be leaked, run 'qemu-img check -r' on the image file to fix.",
  );
}

/** The bitmap directory; nothing when a program that does not know about bitmaps has written to the image since. */
async function readBitmaps(file: Edge, header: Qcow2Header): Promise<readonly BitmapEntry[]> {
  if (header.bitmaps === undefined) return [];
  return readBitmapDirectory(file, header.bitmaps, header.clusterSize);
}

/** Brings an image that is opened for writing into a state in which it can be (section 1.2, steps 14 and 16). */
async function prepareWritable(context: OpenContext, file: Edge, header: Qcow2Header): Promise<Qcow2Header> {
  if ((header.incompatibleFeatures & incompatible.dirty) !== 0n) {
    const { checkImage } = await loadPart(context.platform, () => import('./on-demand.ts'));
    const result = await checkImage(file, { fix: { leaks: true, errors: true }, report: () => {} });
    if (result.checkErrors > 0)
      throw new BlockError('EIO', 'Could not repair dirty image: Input/output error');
    header = await readHeader(file, context.flags);
  }
  return prepareForWriting(file, header);
}
