/**
 * The consistency check of a qcow2 image, and what of it can be repaired in place (specification: qcow2, section 10).
 *
 *   1. Count references: L1 tables, then each distinct L2 table once with its weight, then all other structures.
 *   2. Compare with the refcount blocks. Repair: rewrite single refcounts, or rebuild everything (rebuild.ts).
 *   3. COPIED flags of the active tree against the refcounts as they are then.
 *   4. After a repair that leaves no error: clear the dirty bit, then the corrupt bit.
 *
 * Tables are streamed through the core (check-core.ts) and never all in memory; memory grows with the file's length
 * only, up to a limit. Findings are worded and counted as qemu-img check does. Differences, on purpose: tables that
 * cannot be right (unaligned, outside the file) are not walked; while any were not, nothing is freed, because what
 * looks leaked may belong to them; a refcount of 0 where a block exists is set rather than everything rebuilt.
 *
 * Standard images only: no extended L2 entries, external data file or encryption (ENOTSUP).
 */
import { BlockError } from '../../../base/errors.ts';
import type { CheckOptions, CheckResult } from '../../../block/driver.ts';
import { dataClusters, readBitmapDirectory, readBitmapTable } from '../disk/bitmap-directory.ts';
import { autoclear, incompatible } from '../disk/feature-bits.ts';
import {
  l2Entries,
  type Qcow2Header,
  readHeader,
  refcountBlockEntries,
  requireStandardImage,
} from '../disk/header.ts';
import { updateHeader } from '../disk/header-update.ts';
import { type ImageFile, viewOf } from '../disk/image-file.ts';
import { bufferBytes, CheckCore } from './check-core.ts';
import { concatenate, distinct } from './cluster-lists.ts';
import { checkCopied } from './copied-flags.ts';
import { describeBeyondEnd, describeFinding, type Finding } from './findings.ts';
import { rebuildRefcounts, rebuildRoom } from './rebuild.ts';
import { type CheckedSnapshots, loadSnapshotsForCheck } from './snapshot-repair.ts';

/** More findings than this are counted but no longer reported one by one. */
export const maxReportedFindings = 100_000;

interface Qcow2CheckOptions extends CheckOptions {
  /** Awaited between tables: lets others run, and may throw to give up. */
  pause?(): Promise<void>;
}

/** Bits of `fix` as the core's comparison takes them. */
const fixLeaks = 1;
const fixErrors = 2;

/** How one refcount block is to be used. */
interface RefcountBlock {
  /** 0: there is none, all refcounts are 0. */
  offset: number;
  /** It cannot be read: its refcounts are unknown. */
  unreadable: boolean;
}

/**
 * Checks the image in `file`, and repairs it as `options.fix` says; `file` must then be writable, with nobody else
 * using the image. Rejects when the check cannot go on: bad header, unreadable snapshot table, repair impossible.
 */
export async function checkImage(file: ImageFile, options: Qcow2CheckOptions): Promise<CheckResult> {
  const writable = options.fix.leaks || options.fix.errors;
  const header = await readHeader(file, { readOnly: !writable, check: true, noIo: false });
  requireStandardImage(header);
  const snapshots = await loadSnapshotsForCheck(file, header, options);
  return new Checker(file, header, snapshots, options).run();
}

export class Checker {
  readonly core: CheckCore;
  /** Clusters of the file that are compared. */
  private clusters: number;
  private readonly l2Tables: L2Tables = { clusters: new Uint32Array(), weights: new Uint32Array() };
  private activeL2: Uint32Array = new Uint32Array();
  /** By their index in the refcount table. */
  blocks: RefcountBlock[] = [];
  /** Offsets of the refcount blocks that were counted, in the order of the table. */
  readonly countedBlocks: number[] = [];
  /** Part of the image could not be walked: what looks unused may not be. */
  incomplete = false;
  /** A repair has to make all refcounts anew. */
  private rebuild = false;
  private reported = 0;
  /** COPIED findings are being repaired. */
  fixing = false;
  /** COPIED findings whose refcount has to be looked up. */
  readonly unknownCopied: Finding[] = [];
  readonly result: CheckResult;
  /** Findings of the comparison, apart from those of the walk: a repair settles them. */
  private compared = { leaks: 0, tooLow: 0, structure: 0, leaksFixed: 0, tooLowFixed: 0 };

  constructor(
    readonly file: ImageFile,
    readonly header: Qcow2Header,
    private readonly snapshots: CheckedSnapshots,
    readonly options: Qcow2CheckOptions,
  ) {
    const fileClusters = Math.ceil(file.length / header.clusterSize);
    // A compressed cluster may end just behind the file.
    this.clusters = fileClusters + 1;
    this.core = new CheckCore(
      {
        clusterBits: header.clusterBits,
        clusters: this.clusters + (options.fix.errors ? rebuildRoom(header, fileClusters) : 0),
        refcountOrder: header.refcountOrder,
        fileBytes: file.length,
        version: header.version,
      },
      (finding) => this.onFinding(finding),
    );
    this.result = {
      checkErrors: 0,
      corruptions: snapshots.corruptions,
      leaks: 0,
      corruptionsFixed: snapshots.corruptionsFixed,
      leaksFixed: 0,
      imageEndOffset: 0,
      totalClusters: Math.ceil(header.size / header.clusterSize),
      allocatedClusters: 0,
      fragmentedClusters: 0,
      compressedClusters: 0,
    };
  }

  async run(): Promise<CheckResult> {
    const { core, result, options } = this;
    await this.countL1Tables();
    this.listL2Tables();
    await this.countL2Tables();
    await this.countStructures();
    this.incomplete ||= core.skippedTables > 0;
    await this.countRefcountBlocks();
    if (core.count(this.clusters - 1) === 0) this.clusters--;
    await this.compare(0);
    result.imageEndOffset = (core.highestUsed + 1) * this.header.clusterSize;
    await this.repairRefcounts();
    result.corruptions += core.lostFindings;
    core.limit(this.clusters);
    await checkCopied(this, distinct(this.activeL2));
    Object.assign(result, core.statistics);
    if ((options.fix.leaks || options.fix.errors) && result.checkErrors === 0 && result.corruptions === 0) {
      await this.markConsistent();
    }
    return result;
  }

  report(text: string): void {
    for (const line of text.split('\n')) {
      if (this.reported === maxReportedFindings) this.options.report('Further findings are not shown');
      if (this.reported++ < maxReportedFindings) this.options.report(line);
    }
  }

  private onFinding(finding: Finding): void {
    const { result, compared } = this;
    switch (finding.code) {
      case 'leak':
        compared.leaks++;
        break;
      case 'too-low':
        if (this.snapshots.isNewTable(Number(finding.a))) return;
        compared.tooLow++;
        break;
      case 'leak-fixed':
        compared.leaksFixed++;
        break;
      case 'too-low-fixed':
        if (this.snapshots.isNewTable(Number(finding.a))) return;
        compared.tooLowFixed++;
        break;
      case 'zero-unaligned-fixed':
        result.corruptionsFixed++;
        break;
      case 'copied-unknown':
      case 'copied-l2-unknown':
        this.unknownCopied.push(finding);
        return;
      case 'copied-data':
      case 'copied-l2':
        if (this.fixing) result.corruptionsFixed++;
        else result.corruptions++;
        break;
      default:
        result.corruptions += finding.times;
    }
    this.report(describeFinding(finding, this.core.count(Number(finding.a)), this.fixing));
  }

  /** Counts the clusters of a structure; false when it does not lie in the file. */
  private countStructure(offset: number, bytes: number, weight = 1): boolean {
    if (offset + bytes >= this.file.length + this.header.clusterSize && bytes > 0) {
      this.result.corruptions += weight;
      this.report(describeBeyondEnd(offset, bytes));
      this.incomplete = true;
      return false;
    }
    this.core.reference(offset, bytes, weight);
    return true;
  }

  // ——— 1. Counting references ———

  private async countL1Tables(): Promise<void> {
    const { header } = this;
    this.activeL2 = (await this.countL1Table(header.l1TableOffset, header.l1Size, 1)).sort();
    let tableBytes = 0;
    for (const { offset, entries, weight } of this.snapshots.l1Tables) {
      // Tables of valid images share nothing, so together they are no longer than the file.
      tableBytes += entries * 8;
      if (tableBytes > this.file.length) {
        this.result.corruptions++;
        this.report('ERROR snapshot L1 tables overlap; not all of them were examined');
        this.incomplete = true;
        return;
      }
      await this.countL1Table(offset, entries, weight);
    }
  }

  private async countL1Table(offset: number, entries: number, weight: number): Promise<Uint32Array> {
    const pieces: Uint32Array[] = [];
    for (let first = 0; first < entries && offset + first * 8 < this.file.length; first += bufferBytes / 8) {
      const count = Math.min(bufferBytes / 8, entries - first);
      if (!(await this.load(offset + first * 8, count * 8, 'L1 table'))) break;
      pieces.push(this.core.walkL1(count, weight));
    }
    return concatenate(pieces);
  }

  /** Nothing but L1 entries is counted yet: what has a count is an L2 table, and the count is its weight. */
  private listL2Tables(): void {
    const clusters: number[] = [];
    const weights: number[] = [];
    for (let cluster = this.core.nextCounted(0); cluster >= 0; cluster = this.core.nextCounted(cluster + 1)) {
      clusters.push(cluster);
      weights.push(this.core.count(cluster));
    }
    this.l2Tables.clusters = Uint32Array.from(clusters);
    this.l2Tables.weights = Uint32Array.from(weights);
  }

  private async countL2Tables(): Promise<void> {
    const { weights } = this.l2Tables;
    let active = 0;
    await this.forEachTable(this.l2Tables.clusters, 'L2 table', (at, cluster, index) => {
      let activeWeight = 0;
      while (this.activeL2[active] === cluster) {
        active++;
        activeWeight++;
      }
      const weight = weights[index] ?? 0;
      this.core.walkL2(at, l2Entries(this.header), { weight, activeWeight, fix: this.options.fix.errors });
      return this.core.tableChanged;
    });
  }

  /** Everything that is neither an L2 table nor data. */
  private async countStructures(): Promise<void> {
    const { header, snapshots } = this;
    this.countStructure(0, header.clusterSize);
    this.countStructure(header.l1TableOffset, header.l1Size * 8);
    for (const { offset, entries, weight } of snapshots.l1Tables)
      this.countStructure(offset, entries * 8, weight);
    for (const problem of snapshots.badL1Tables) {
      this.result.corruptions++;
      this.report(problem);
      this.incomplete = true;
    }
    for (const { offset, bytes } of snapshots.tables) this.countStructure(offset, bytes);
    await this.countBitmaps();
  }

  private async countBitmaps(): Promise<void> {
    const { header, file } = this;
    const { bitmaps } = header;
    if (bitmaps === undefined || (header.autoclearFeatures & autoclear.bitmaps) === 0n) return;
    try {
      if (!this.countStructure(bitmaps.directoryOffset, bitmaps.directoryBytes)) return;
      for (const entry of await readBitmapDirectory(file, bitmaps, header.clusterSize)) {
        if (!this.countStructure(entry.tableOffset, entry.tableEntries * 8)) continue;
        for (const offset of dataClusters(await readBitmapTable(file, entry, header.clusterSize))) {
          this.countStructure(offset, header.clusterSize);
        }
      }
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.result.corruptions++;
      this.report(`ERROR ${error.message}`);
      this.incomplete = true;
    }
  }

  private async countRefcountBlocks(): Promise<void> {
    const { header, core, file } = this;
    const { clusterSize } = header;
    const tableBytes = header.refcountTableClusters * clusterSize;
    const inFile = this.countStructure(header.refcountTableOffset, tableBytes);
    const bytes = new Uint8Array(tableBytes);
    if (inFile) await file.read(header.refcountTableOffset, bytes);
    const view = viewOf(bytes);
    const structure = (text: string) => {
      this.compared.structure++;
      this.report(text);
    };
    for (let index = 0; index < tableBytes / 8; index++) {
      const high = view.getUint32(index * 8);
      const low = view.getUint32(index * 8 + 4);
      if (high === 0 && low === 0) continue;
      const offset = high * 2 ** 32 + (low - (low % 512));
      const inside = offset < file.length;
      if (low % 512 !== 0) {
        structure(`ERROR refcount table entry ${index} has reserved bits set`);
        this.rebuild = true;
        if (inside && offset % clusterSize === 0) this.blocks[index] = { offset, unreadable: false };
      } else if (offset % clusterSize !== 0) {
        structure(`ERROR refcount block ${index} is not cluster aligned; refcount table entry corrupted`);
        this.rebuild = true;
        this.blocks[index] = { offset, unreadable: true };
      } else if (!inside) {
        const verb = this.options.fix.errors ? 'Repairing' : 'ERROR';
        structure(`${verb} refcount block ${index} is outside image`);
        this.rebuild ||= this.options.fix.errors;
      } else {
        this.blocks[index] = { offset, unreadable: false };
        const references = core.count(offset / clusterSize);
        core.reference(offset, clusterSize);
        this.countedBlocks.push(offset);
        if (references === 0) continue;
        structure(`ERROR refcount block ${index} refcount=${references + 1}`);
        this.rebuild = true;
      }
    }
  }

  // ——— 2. Refcounts ———

  private async compare(fix: number): Promise<void> {
    await this.forEachBlock(async (block, first, entries) => {
      const present = block !== undefined;
      if (present && (block.unreadable || !(await this.loadBlock(block)))) {
        this.reportUnreadable(first, entries);
        return;
      }
      this.core.compare(present, first, entries, fix);
      if (present && this.core.tableChanged) await this.store(block.offset, this.header.clusterSize);
      if (!present && this.core.nextCounted(first) >= 0) {
        this.rebuild ||= this.core.nextCounted(first) < first + entries;
      }
    });
  }

  private reportUnreadable(first: number, entries: number): void {
    this.result.checkErrors += entries;
    for (let cluster = first; cluster < first + entries; cluster++) {
      if (this.reported > maxReportedFindings) return;
      this.report(`Can't get refcount for cluster ${cluster}: Input/output error`);
    }
  }

  private async repairRefcounts(): Promise<void> {
    const { result, options, compared } = this;
    const found = { ...compared };
    result.leaks = compared.leaks;
    result.corruptions += compared.tooLow + compared.structure;
    const anything = found.leaks + found.tooLow + found.structure + result.checkErrors > 0;
    if (this.rebuild && options.fix.errors) {
      this.report('Rebuilding refcount structure');
      await rebuildRefcounts(this);
      result.corruptionsFixed += found.tooLow + found.structure;
      result.corruptions -= found.tooLow + found.structure;
      result.leaksFixed += found.leaks;
      result.leaks = 0;
      result.checkErrors = 0;
      await this.snapshots.publish(this);
      return;
    }
    if (this.rebuild && options.fix.leaks) {
      this.report('ERROR need to rebuild refcount structures');
      throw new BlockError('EIO');
    }
    const fix = this.allowedFixes();
    if (anything && fix !== 0) {
      await this.compare(fix);
      await this.file.flush();
      result.leaksFixed += compared.leaksFixed;
      result.leaks -= compared.leaksFixed;
      result.corruptionsFixed += compared.tooLowFixed;
      result.corruptions -= compared.tooLowFixed;
    }
    await this.snapshots.publish(this);
    if (anything) await this.loadRefcounts();
  }

  /** Gives back what only the old snapshot table used; called when nothing refers to it any more. */
  async freeStructure(offset: number, bytes: number): Promise<void> {
    const { clusterSize } = this.header;
    for (let at = offset; at < offset + bytes; at += clusterSize) this.core.dropReference(at / clusterSize);
    const quiet = this.reported;
    this.reported = maxReportedFindings + 1;
    await this.compare(this.allowedFixes());
    this.reported = quiet;
    await this.file.flush();
  }

  private allowedFixes(): number {
    const { fix } = this.options;
    let allowed = 0;
    if (fix.errors) allowed |= fixErrors;
    if (fix.leaks) {
      if (!this.incomplete) allowed |= fixLeaks;
      else if (this.compared.leaks > 0) {
        this.report('Leaked clusters are not freed, because parts of the image could not be examined');
      }
    }
    return allowed;
  }

  /** Turns the counts from references into refcounts. */
  private async loadRefcounts(): Promise<void> {
    await this.forEachBlock(async (block, first, entries) => {
      if (block?.unreadable) return;
      if (block !== undefined) await this.loadBlock(block);
      this.core.load(block !== undefined, first, entries);
    });
  }

  // ——— 4. Header ———

  private async markConsistent(): Promise<void> {
    const bits = this.header.incompatibleFeatures;
    await this.file.flush();
    for (const bit of [incompatible.dirty, incompatible.corrupt]) {
      if ((bits & bit) !== 0n) await updateHeader(this.file, { clearIncompatible: bit });
    }
  }

  // ——— Streaming ———

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
      await this.options.pause?.();
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
      await this.options.pause?.();
      await visit(this.blocks[first / perBlock], first, Math.min(perBlock, this.clusters - first));
    }
  }

  loadBlock(block: RefcountBlock): Promise<boolean> {
    return this.load(block.offset, this.header.clusterSize, 'refcount block');
  }

  /** Loads into the core's buffer. An unreadable table is an internal failure of the check: it goes on without. */
  async load(offset: number, bytes: number, what: string): Promise<boolean> {
    try {
      await this.file.read(offset, this.core.buffer.subarray(0, bytes));
      return true;
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.result.checkErrors++;
      this.report(`ERROR: I/O error reading ${what} at offset 0x${offset.toString(16)}: ${error.message}`);
      this.incomplete = true;
      return false;
    }
  }

  store(offset: number, bytes: number): Promise<void> {
    return this.file.write(offset, this.core.buffer.slice(0, bytes));
  }
}

/** Distinct L2 tables inside the file, ascending, and how many L1 entries name each. */
interface L2Tables {
  clusters: Uint32Array;
  weights: Uint32Array;
}
