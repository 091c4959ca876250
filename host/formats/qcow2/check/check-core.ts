/**
 * The check's side of the core: an instance of its own, its memory laid out as
 *
 *   findings (24 bytes each) | table buffer (2 MiB) | counts, one per cluster of the file
 *
 * and typed access to the steps. Steps that stop because the findings buffer is full are resumed here.
 */
import checkBytes from '../../../../build/qcow2-check.wasm';
import { BlockError } from '../../../base/errors.ts';
import { CoreInstance } from '../../../core/instance.ts';
import { CoreModule } from '../../../core/module.ts';
import { type Finding, findingCodes } from './findings.ts';

const checkModule = new CoreModule(checkBytes);

interface Steps {
  check_begin(
    countArray: number,
    clusters: number,
    shift: number,
    largestCount: number,
    findingArray: number,
    capacity: number,
    bits: number,
    length: number,
    version: number,
  ): void;
  check_take_findings(): number;
  check_lost_findings(): number;
  check_table_changed(): number;
  check_skipped_tables(): number;
  check_highest_used(): number;
  check_allocated_clusters(): number;
  check_compressed_clusters(): number;
  check_fragmented_clusters(): number;
  check_get_count(cluster: number): number;
  check_limit(clusters: number): void;
  check_mark_used(first: number, clusters: number): void;
  check_drop_reference(cluster: number): void;
  check_next_counted(from: number): number;
  check_reference(offset: number, bytes: number, weight: number): void;
  check_l1(table: number, start: number, entries: number, weight: number): number;
  check_accepted_tables(): number;
  check_l2(
    table: number,
    start: number,
    entries: number,
    weight: number,
    activeWeight: number,
    fix: number,
  ): number;
  check_compare(
    block: number,
    first: number,
    start: number,
    entries: number,
    order: number,
    fix: number,
  ): number;
  check_load(block: number, first: number, entries: number, order: number): void;
  check_raise(block: number, first: number, entries: number, order: number): void;
  check_encode(block: number, first: number, entries: number, blockEntries: number, order: number): void;
  check_copied_l2(table: number, start: number, entries: number, fix: boolean): number;
  check_copied_l1(table: number, start: number, entries: number, first: number, fix: boolean): number;
}

/** Counts may take this much; 1 GiB is enough for a file of 32 TiB in clusters of 64 KiB. */
const maxCountBytes = 1024 * 1024 * 1024;
/** At least the largest cluster. */
export const bufferBytes = 2 * 1024 * 1024;
const findingBytes = 24;
const findingCapacity = 1024;
const alignment = 16;
/** A reference weight: more references than any count holds, and small enough for the core's arithmetic. */
const maxWeight = 2 ** 32 - 1;

interface CheckGeometry {
  clusterBits: number;
  /** Counts to have room for. */
  clusters: number;
  refcountOrder: number;
  fileBytes: number;
  version: number;
}

/** What preallocated clusters with an unaligned offset become; the core has them as numbers. */
const zeroFixes = ['none', 'zero', 'unallocated'] as const;
type ZeroFix = (typeof zeroFixes)[number];

export class CheckCore {
  private readonly core: CoreInstance<Steps>;
  private readonly steps: Steps;
  private readonly findings: number;
  private readonly bufferAt: number;
  /** Where tables are loaded, changed and stored: `bufferBytes` long. */
  readonly buffer: Uint8Array;

  /** EFBIG when the counts would take more memory than is allowed. `onFinding` gets everything the steps find. */
  constructor(
    readonly geometry: CheckGeometry,
    private readonly onFinding: (finding: Finding) => void,
  ) {
    const { refcountOrder, clusters } = geometry;
    const shift = refcountOrder <= 3 ? 0 : refcountOrder === 4 ? 1 : 2;
    const countBytes = clusters * 2 ** shift;
    if (countBytes > maxCountBytes) {
      throw new BlockError('EFBIG', `Image file is too large to check: counts for ${clusters} clusters`);
    }
    const findingArrayBytes = findingCapacity * findingBytes;
    this.core = new CoreInstance<Steps>(
      checkModule,
      findingArrayBytes + bufferBytes + countBytes + 3 * alignment,
    );
    this.steps = this.core.exports;
    this.findings = this.core.allocate(findingArrayBytes, alignment).address;
    const buffer = this.core.allocate(bufferBytes, alignment);
    this.bufferAt = buffer.address;
    this.buffer = buffer.bytes;
    const counts = this.core.allocate(countBytes, alignment);
    const largestCount = 2 ** Math.min(32, 2 ** refcountOrder) - 1;
    this.steps.check_begin(
      counts.address,
      clusters,
      shift,
      largestCount,
      this.findings,
      findingCapacity,
      geometry.clusterBits,
      geometry.fileBytes,
      geometry.version,
    );
  }

  /** Findings that had no room. */
  get lostFindings(): number {
    return this.steps.check_lost_findings();
  }
  get tableChanged(): boolean {
    return this.steps.check_table_changed() !== 0;
  }
  /** L2 tables that are named but cannot be walked. */
  get skippedTables(): number {
    return this.steps.check_skipped_tables();
  }
  get highestUsed(): number {
    return this.steps.check_highest_used();
  }
  get statistics() {
    return {
      allocatedClusters: this.steps.check_allocated_clusters(),
      compressedClusters: this.steps.check_compressed_clusters(),
      fragmentedClusters: this.steps.check_fragmented_clusters(),
    };
  }

  count(cluster: number): number {
    return this.steps.check_get_count(cluster);
  }
  limit(clusters: number): void {
    this.steps.check_limit(clusters);
  }
  markUsed(first: number, clusters: number): void {
    this.steps.check_mark_used(first, clusters);
  }
  dropReference(cluster: number): void {
    this.steps.check_drop_reference(cluster);
  }
  /** The first cluster at or after `from` with references, or −1. */
  nextCounted(from: number): number {
    return this.steps.check_next_counted(from);
  }

  reference(offset: number, bytes: number, weight = 1): void {
    this.core.guard(() => this.steps.check_reference(offset, bytes, Math.min(weight, maxWeight)));
    this.drain();
  }

  /** Counts the L2 tables named by the L1 entries in the buffer; returns those in the file, as cluster numbers. */
  walkL1(entries: number, weight: number): Uint32Array {
    const bounded = Math.min(weight, maxWeight);
    this.resume(entries, (start) => this.steps.check_l1(this.bufferAt, start, entries, bounded));
    return new Uint32Array(
      this.core.memory.buffer,
      this.bufferAt,
      this.steps.check_accepted_tables(),
    ).slice();
  }

  /** Counts what the L2 table `at` bytes into the buffer names. */
  walkL2(at: number, entries: number, use: { weight: number; activeWeight: number; fix: ZeroFix }): void {
    this.resume(entries, (start) =>
      this.steps.check_l2(
        this.bufferAt + at,
        start,
        entries,
        use.weight,
        use.activeWeight,
        zeroFixes.indexOf(use.fix),
      ),
    );
  }

  /** `present`: the buffer holds the refcount block of the clusters from `first` on; without it they have refcount 0. */
  compare(present: boolean, first: number, entries: number, fix: number): void {
    const block = present ? this.bufferAt : 0;
    const order = this.geometry.refcountOrder;
    this.resume(entries, (start) => this.steps.check_compare(block, first, start, entries, order, fix));
  }

  /** Makes the counts what the refcount block in the buffer says. */
  load(present: boolean, first: number, entries: number): void {
    this.steps.check_load(present ? this.bufferAt : 0, first, entries, this.geometry.refcountOrder);
  }

  raise(first: number, entries: number): void {
    this.steps.check_raise(this.bufferAt, first, entries, this.geometry.refcountOrder);
  }

  /** Makes a refcount block in the buffer. */
  encode(first: number, entries: number, blockEntries: number): void {
    this.steps.check_encode(this.bufferAt, first, entries, blockEntries, this.geometry.refcountOrder);
  }

  checkCopiedL1(entries: number, first: number, fix: boolean): void {
    this.resume(entries, (start) => this.steps.check_copied_l1(this.bufferAt, start, entries, first, fix));
  }

  checkCopiedL2(at: number, entries: number, fix: boolean): void {
    this.resume(entries, (start) => this.steps.check_copied_l2(this.bufferAt + at, start, entries, fix));
  }

  private resume(end: number, step: (start: number) => number): void {
    for (let index = 0; index < end; ) {
      index = this.core.guard(() => step(index));
      this.drain();
    }
  }

  private drain(): void {
    const count = this.steps.check_take_findings();
    if (count === 0) return;
    const { view } = this.core;
    const end = this.findings + count * findingBytes;
    for (let at = this.findings; at < end; at += findingBytes) {
      this.onFinding({
        code: findingCodes[view.getUint32(at, true)] ?? 'none',
        times: view.getUint32(at + 4, true),
        a: view.getBigUint64(at + 8, true),
        b: view.getBigUint64(at + 16, true),
      });
    }
  }
}
