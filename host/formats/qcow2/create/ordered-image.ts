/**
 * A qcow2 image that is written from its beginning to its end, in bounded memory:
 *
 *   header | data, and tables as they get full | the last L2 table | L1 table | refcount blocks | refcount table
 *
 * The header comes last, for it says where the tables are. The disk is written in order, so an L2 table is complete as soon as something
 * behind what it maps is written, and a refcount block when the file has grown beyond what it counts: each is appended then. In memory are
 * one of each, the L1 table, and a cluster that is not full yet. Tables begin at a cluster; compressed clusters follow each other without
 * gaps, and one may go on in the next cluster of the file.
 *
 * Not done: backing files, encryption, preallocation, refcounts of other widths than 16 bits.
 */
import { assert } from '../../../base/assert.ts';
import { BlockError } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { CreateValues } from '../../../block/driver.ts';
import type { OrderedFile, OrderedImage, OrderedPlan } from '../../../block/ordered-file.ts';
import type { Codec } from '../../../platform/platform.ts';
import { compressedFlag, copiedFlag } from '../disk/entry.ts';
import { maxL1Entries, refcountBlockEntries } from '../disk/header.ts';
import { padded } from '../disk/image-file.ts';
import { type CreateParameters, parseCreateValues } from './create-options.ts';
import { layOutImage, wholeDisk } from './layout.ts';
import { serializeNewHeader } from './new-header.ts';

const refcountOrder = 4;
const maxRefcount = 0xffff;
const entryBytes = 8;

/** Errors: as for any image; ENOTSUP: see above. */
export function planOrderedQcow2(values: CreateValues): OrderedPlan {
  const parameters = parseCreateValues(values);
  refuseUnordered(parameters);
  const { clusterSize, size } = parameters;
  const whole = wholeDisk(size, { clusterSize, l2EntryBytes: entryBytes });
  if (whole.l2Tables > maxL1Entries || !Number.isSafeInteger(size))
    throw new BlockError('EFBIG', 'Could not resize image: Failed to grow the L1 table: File too large');
  const layout = layOutImage({ clusterSize, refcountOrder, l1Entries: whole.l2Tables, ...whole });
  // What is compressed may leave a part of a cluster empty before each table.
  const gaps = layout.l2Tables + layout.refcountBlocks + 1;
  return {
    bounds: { maxBytes: (layout.totalClusters + gaps) * clusterSize, headBytes: clusterSize },
    begin: (file, { deflate, zstd }) =>
      new OrderedQcow2(file, parameters, parameters.compressionType === 'zstd' ? zstd : deflate),
  };
}

function refuseUnordered(parameters: CreateParameters): void {
  const { backingFile, encryption, preallocation } = parameters;
  const refused = [
    backingFile === undefined ? undefined : 'backing_file',
    encryption === undefined ? undefined : 'encrypt.format',
    preallocation === 'off' ? undefined : 'preallocation',
    parameters.refcountOrder === refcountOrder ? undefined : 'refcount_bits',
  ].find((name) => name !== undefined);
  if (refused !== undefined)
    throw new BlockError(
      'ENOTSUP',
      `Parameter '${refused}' is not supported for an image that is written in order`,
    );
}

class OrderedQcow2 implements OrderedImage {
  readonly clusterBytes: number;
  private readonly l1: Uint8Array;
  /** Entries of an L2 table, which is as many as it maps clusters. */
  private readonly l2Entries: number;
  private l2: { readonly index: number; readonly bytes: Uint8Array } | undefined;
  /** A cluster of which a part has come. */
  private partial: { readonly index: number; readonly bytes: Uint8Array } | undefined;
  /** Of the cluster that was placed last. */
  private lastIndex = -1;
  /** The end of the file. */
  private at = 0;
  private readonly counts: RefcountBlocks;
  private readonly turns = new Mutex();

  constructor(
    private readonly file: OrderedFile,
    private readonly parameters: CreateParameters,
    private readonly codec: Codec,
  ) {
    const { clusterSize, size } = parameters;
    this.clusterBytes = clusterSize;
    this.l2Entries = clusterSize / entryBytes;
    this.l1 = new Uint8Array(
      wholeDisk(size, { clusterSize, l2EntryBytes: entryBytes }).l2Tables * entryBytes,
    );
    this.counts = new RefcountBlocks(clusterSize);
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.turns.run(async () => {
      const { clusterBytes } = this;
      for (let done = 0; done < bytes.length; ) {
        const index = Math.floor((offset + done) / clusterBytes);
        const within = (offset + done) % clusterBytes;
        const piece = bytes.subarray(done, done + clusterBytes - within);
        if (piece.length === clusterBytes) await this.place(index, piece);
        else await this.collect(index, within, piece);
        done += piece.length;
      }
    });
  }

  private async collect(index: number, within: number, piece: Uint8Array): Promise<void> {
    if (this.partial?.index !== index) {
      await this.settlePartial();
      this.partial = { index, bytes: new Uint8Array(this.clusterBytes) };
    }
    this.partial.bytes.set(piece, within);
  }

  private async settlePartial(): Promise<void> {
    const { partial } = this;
    this.partial = undefined;
    if (partial) await this.place(partial.index, partial.bytes);
  }

  /** A whole cluster, as it is. */
  private async place(index: number, bytes: Uint8Array): Promise<void> {
    await this.enter(index);
    this.setEntry(index, BigInt(await this.appendClusters(bytes)) | copiedFlag);
  }

  writeCompressed(offset: number, bytes: Uint8Array): Promise<void> {
    const { clusterBytes, codec } = this;
    const cluster = padded(bytes, clusterBytes);
    const compressing = codec.compress(cluster, clusterBytes);
    return this.turns.run(async () => {
      const stream = await compressing;
      const index = offset / clusterBytes;
      // It does not get smaller.
      if (stream === undefined) await this.place(index, cluster);
      else await this.placeStream(index, stream);
    });
  }

  private async placeStream(index: number, stream: Uint8Array): Promise<void> {
    await this.enter(index);
    if (this.at === 0 || this.counts.hasFull || this.counts.last === maxRefcount) await this.startCluster();
    const { at, clusterBytes } = this;
    const furtherSectors = Math.ceil(((at % sectorBytes) + stream.length) / sectorBytes) - 1;
    const offsetBits = BigInt(70 - Math.log2(clusterBytes));
    this.setEntry(index, compressedFlag | (BigInt(furtherSectors) << offsetBits) | BigInt(at));
    await this.append(stream);
  }

  private setEntry(index: number, entry: bigint): void {
    const { bytes } = this.l2!; // entered
    viewOf(bytes).setBigUint64((index % this.l2Entries) * entryBytes, entry);
  }

  /** Nothing before cluster `index` of the disk comes any more. */
  private async enter(index: number): Promise<void> {
    await this.settlePartial();
    assert(index > this.lastIndex, `cluster ${index} comes behind cluster ${this.lastIndex}`);
    this.lastIndex = index;
    const table = Math.floor(index / this.l2Entries);
    if (this.l2?.index === table) return;
    await this.settleTable();
    this.l2 = { index: table, bytes: new Uint8Array(this.clusterBytes) };
  }

  private async settleTable(): Promise<void> {
    const { l2 } = this;
    this.l2 = undefined;
    if (!l2) return;
    const offset = await this.appendClusters(l2.bytes);
    viewOf(this.l1).setBigUint64(l2.index * entryBytes, BigInt(offset) | copiedFlag);
  }

  /** Settles with where they begin: at a cluster. */
  private async appendClusters(bytes: Uint8Array): Promise<number> {
    await this.startCluster();
    const { at } = this;
    await this.append(bytes);
    return at;
  }

  /** The file ends with a whole cluster, and every refcount block that is full is in it. */
  private async startCluster(): Promise<void> {
    // The header's, which is written at the end.
    if (this.at === 0) await this.append(new Uint8Array(this.clusterBytes));
    await this.fillCluster();
    for (let block = this.counts.takeFull(this.at); block; block = this.counts.takeFull(this.at))
      await this.append(block);
  }

  /** What is left of a cluster belongs to what is in it. */
  private async fillCluster(): Promise<void> {
    const rest = roundUp(this.at, this.clusterBytes) - this.at;
    await this.file.append(new Uint8Array(rest));
    this.at += rest;
  }

  private async append(bytes: Uint8Array): Promise<void> {
    const { at } = this;
    this.at += bytes.length;
    this.counts.use(at, bytes.length);
    await this.file.append(bytes);
  }

  async finish(): Promise<void> {
    const { parameters, clusterBytes: clusterSize, l1 } = this;
    await this.settlePartial();
    await this.settleTable();
    const l1TableOffset = await this.appendClusters(padded(l1, clusterSize));
    await this.fillCluster();
    const blockOffset = this.at;
    const { blocks, tableClusters } = this.counts.finish(blockOffset);
    for (const block of blocks) await this.file.append(block);
    const table = this.counts.table(tableClusters);
    await this.file.append(table);
    const header = serializeNewHeader(
      { ...parameters, backingFileName: undefined },
      {
        ...{ clusterSize, refcountOrder, l1Entries: l1.length / entryBytes },
        l1TableOffset: l1.length > 0 ? l1TableOffset : 0,
        refcountTableOffset: blockOffset + blocks.length * clusterSize,
        refcountTableClusters: tableClusters,
        encryptionOffset: 0,
      },
    );
    await this.file.finish(header);
  }
}

/** The refcounts of a file that grows: the block that is counted in, and those that are full and have no place yet. */
class RefcountBlocks {
  private readonly perBlock: number;
  private readonly full: Uint8Array[] = [];
  private block: Uint8Array;
  private firstCluster = 0;
  /** Of the blocks that are in the file. */
  private readonly offsets: number[] = [];
  /** The count of the last cluster. */
  last = 0;

  constructor(private readonly clusterSize: number) {
    this.perBlock = refcountBlockEntries({ clusterSize, refcountOrder });
    this.block = new Uint8Array(clusterSize);
  }

  get hasFull(): boolean {
    return this.full.length > 0;
  }

  /** Each cluster in which a byte of the range is has one more reference. */
  use(offset: number, bytes: number): void {
    const end = Math.ceil((offset + bytes) / this.clusterSize);
    for (let cluster = Math.floor(offset / this.clusterSize); cluster < end; cluster++) {
      if (cluster === this.firstCluster + this.perBlock) {
        this.full.push(this.block);
        this.block = new Uint8Array(this.clusterSize);
        this.firstCluster = cluster;
      }
      const view = viewOf(this.block);
      const at = (cluster - this.firstCluster) * 2;
      this.last = view.getUint16(at) + 1;
      view.setUint16(at, this.last);
    }
  }

  /** The first that is full, which will be at `offset`. */
  takeFull(offset: number): Uint8Array | undefined {
    const block = this.full.shift();
    if (block) this.offsets.push(offset);
    return block;
  }

  /** What is to be appended at `offset`, at the end of everything else: the blocks that are left, and the table, which are counted here. */
  finish(offset: number): { blocks: readonly Uint8Array[]; tableClusters: number } {
    const { clusterSize, perBlock, offsets } = this;
    const before = offset / clusterSize;
    let allBlocks = offsets.length + this.full.length + 1;
    let tableClusters = 0;
    for (let known = 0; known !== allBlocks; ) {
      known = allBlocks;
      tableClusters = Math.ceil((allBlocks * entryBytes) / clusterSize);
      allBlocks = Math.ceil((before + allBlocks - offsets.length + tableClusters) / perBlock);
    }
    this.use(offset, (allBlocks - offsets.length + tableClusters) * clusterSize);
    const blocks = [...this.full, this.block];
    for (const i of blocks.keys()) offsets.push(offset + i * clusterSize);
    return { blocks, tableClusters };
  }

  table(clusters: number): Uint8Array {
    const table = new Uint8Array(clusters * this.clusterSize);
    for (const [i, offset] of this.offsets.entries())
      viewOf(table).setBigUint64(i * entryBytes, BigInt(offset));
    return table;
  }
}
