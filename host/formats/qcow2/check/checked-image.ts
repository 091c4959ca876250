/**
 * The image under a check: its file, the counts in the core, where its refcount blocks are, and its tables, which are
 * streamed through one buffer of the core.
 *
 * A table that cannot be read is an internal failure of the check, which goes on without it.
 */
import { BlockError } from '../../../base/errors.ts';
import type { CheckOptions } from '../../../block/driver.ts';
import { type Qcow2Header, refcountBlockEntries } from '../disk/header.ts';
import type { ImageFile } from '../disk/image-file.ts';
import { bufferBytes, CheckCore } from './check-core.ts';
import type { CheckReport } from './report.ts';

interface RefcountBlock {
  readonly offset: number;
  /** Its refcounts are unknown. */
  readonly unreadable: boolean;
}

export class CheckedImage {
  readonly core: CheckCore;
  /** Clusters of the file that are compared. */
  clusters: number;
  /** By their index in the refcount table; where there is none, all refcounts are 0. */
  blocks: (RefcountBlock | undefined)[] = [];
  /** Part of the image could not be walked: what looks unused may not be. */
  incomplete = false;
  /** A repair has to make all refcounts anew. */
  needsRebuild = false;

  /** `spareClusters`: how many a repair may add to the file. EFBIG when the counts would take too much memory. */
  constructor(
    readonly file: ImageFile,
    readonly header: Qcow2Header,
    readonly options: CheckOptions,
    readonly report: CheckReport,
    spareClusters: number,
  ) {
    // A compressed cluster may end just behind the file.
    this.clusters = Math.ceil(file.length / header.clusterSize) + 1;
    this.core = new CheckCore(
      {
        clusterBits: header.clusterBits,
        clusters: this.clusters + spareClusters,
        refcountOrder: header.refcountOrder,
        fileBytes: file.length,
        version: header.version,
      },
      (finding) => report.take(finding, this.core.count(Number(finding.a))),
    );
  }

  /** Loads tables into the core's buffer, several at once where they follow each other, and stores those that changed. */
  async forEachTable(
    clusters: Uint32Array,
    what: string,
    visit: (at: number, cluster: number, index: number) => boolean | Promise<boolean>,
  ): Promise<void> {
    const { clusterSize } = this.header;
    const perLoad = bufferBytes / clusterSize;
    for (let index = 0; index < clusters.length; ) {
      const first = clusters[index] ?? 0;
      let count = 1;
      while (count < perLoad && clusters[index + count] === first + count) count++;
      if (await this.load(first * clusterSize, count * clusterSize, what)) {
        for (let table = 0; table < count; table++) {
          const at = table * clusterSize;
          if (!(await visit(at, first + table, index + table))) continue;
          await this.file.write((first + table) * clusterSize, this.core.buffer.slice(at, at + clusterSize));
        }
      }
      index += count;
    }
  }

  /** Visits the ranges of all refcount blocks that cover the file. */
  async forEachBlock(
    visit: (block: RefcountBlock | undefined, first: number, entries: number) => Promise<void>,
  ): Promise<void> {
    const perBlock = refcountBlockEntries(this.header);
    for (let first = 0; first < this.clusters; first += perBlock) {
      await visit(this.blocks[first / perBlock], first, Math.min(perBlock, this.clusters - first));
    }
  }

  loadBlock(block: RefcountBlock): Promise<boolean> {
    return this.load(block.offset, this.header.clusterSize, 'refcount block');
  }

  /** Loads into the core's buffer; false, and a finding, when it cannot be read. */
  async load(offset: number, bytes: number, what: string): Promise<boolean> {
    try {
      await this.file.read(offset, this.core.buffer.subarray(0, bytes));
      return true;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.report.result.checkErrors++;
      this.report.write(
        `ERROR: I/O error reading ${what} at offset 0x${offset.toString(16)}: ${error.message}`,
      );
      this.incomplete = true;
      return false;
    }
  }

  /** Writes what is at the beginning of the core's buffer. */
  store(offset: number, bytes: number): Promise<void> {
    return this.file.write(offset, this.core.buffer.slice(0, bytes));
  }
}
