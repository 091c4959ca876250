/**
 * The qcow2 engine's steps, typed (assembly/qcow2/).
 *
 * A step that has to wait, or cannot be done, gives its code, a negative number: `Wait` or `StepError`. What the code is
 * about (`neededTable`, `freshTable`, `corruption`, …), and what the two hot steps found (`mapped`, `prepared`), is in the
 * result record and so good until the next step of anybody: it is read in the same synchronous stretch.
 *
 * A trap is not caught here; `Qcow2Engine.guarded` does.
 */
import { CoreInstance } from './instance.ts';
import { qcow2Module } from './module.ts';
import { MetadataClass, type Qcow2Exports, Writeback, writebackItem } from './qcow2-abi.ts';
import {
  type FoundCorruption,
  type FreedCluster,
  type FreshTable,
  MappedRecord,
  type NeededTable,
  type Plan,
  PreparedRecord,
  type PreparedWrite,
  type WritebackItem,
} from './qcow2-results.ts';

interface Qcow2CoreOptions {
  clusterBits: number;
  refcountOrder: number;
  version: number;
  l1Entries: number;
  refcountTableEntries: number;
  l1Offset: number;
  refcountTableOffset: number;
  l2EntryBits: number;
  l2EntryCount: number;
  refcountEntryCount: number;
  /** Classes of metadata that writes are checked against. */
  overlapMask: number;
}

/** Entries that the tables may grow to. */
const maxL1Entries = 4_194_304;
const maxRefcountTableEntries = 1_048_576;
/** Runs of clusters that may wait to be counted down. */
const pendingFreeRoom = 32_768;
/** One for each internal snapshot that an image can have. */
const inactiveL1Ranges = 65_536;
/** Runs of L2 tables of snapshots that are protected, where that is asked for. */
const maxInactiveL2Ranges = 1_048_576;
const rangeBytes = 16;
const pendingFreeBytes = 16;
const slotBytes = 72;
/** Small tables of all parts, and rounding. */
const spareBytes = 64 << 10;
/** Most that tables leave behind when they get more room, and filters take. */
const maxLeftBytes = 128 << 20;

/** How many entries L1 and refcount table are to have. */
export interface TableRoom {
  readonly l1: number;
  readonly refcountTable: number;
}

export class Qcow2Core extends CoreInstance<Qcow2Exports> {
  /** Of the last `map`, while it gave 0 or more. */
  mapped: MappedRecord;
  /** Of the last `prepareWrite`, while it gave 0 or more. */
  prepared: PreparedWrite;
  /** Runs of L2 tables of snapshots that can be protected. */
  readonly inactiveL2Ranges: number;
  /** Address of one cluster, for tables that are made before they are written. */
  private readonly scratch: number;
  private readonly l2Slots: number;
  private readonly clusterBytes: number;
  /** Entries that there is room for. */
  private l1Room: number;
  private refcountTableRoom: number;

  constructor(options: Qcow2CoreOptions) {
    const clusterBytes = 2 ** options.clusterBits;
    const cacheBytes =
      options.l2EntryCount * 2 ** options.l2EntryBits + options.refcountEntryCount * clusterBytes;
    const slots = options.l2EntryCount + options.refcountEntryCount;
    const inactiveL2Ranges = options.overlapMask & MetadataClass.inactiveL2 ? maxInactiveL2Ranges : 0;
    const { l1Entries, refcountTableEntries } = options;
    const bytes =
      (l1Entries + refcountTableEntries) * 8 +
      cacheBytes +
      slots * slotBytes +
      clusterBytes +
      pendingFreeRoom * pendingFreeBytes +
      (inactiveL1Ranges + inactiveL2Ranges) * rangeBytes +
      spareBytes;
    super(qcow2Module, bytes, bytes + (maxL1Entries + maxRefcountTableEntries) * 8 + maxLeftBytes);
    this.clusterBytes = clusterBytes;
    this.l1Room = l1Entries;
    this.refcountTableRoom = refcountTableEntries;
    this.l2Slots = options.l2EntryCount;
    this.inactiveL2Ranges = inactiveL2Ranges;
    const e = this.exports;
    e.qcow2_init(
      options.clusterBits,
      options.refcountOrder,
      options.version,
      l1Entries,
      refcountTableEntries,
    );
    e.qcow2_set_tables(options.l1Offset, options.refcountTableOffset);
    e.qcow2_init_cache(
      options.l2EntryCount,
      options.l2EntryBits,
      options.refcountEntryCount,
      options.clusterBits,
    );
    e.qcow2_init_frees(pendingFreeRoom);
    e.qcow2_init_tokens();
    e.qcow2_init_cursor(options.clusterBits);
    e.qcow2_init_overlap(options.overlapMask, inactiveL1Ranges, inactiveL2Ranges);
    this.scratch = this.allocate(clusterBytes).address;
    this.mapped = new MappedRecord(this.record);
    this.prepared = new PreparedRecord(this.record);
  }

  /** What is at an address. Good until the tables get more room. */
  bytesAt(address: number, bytes: number): Uint8Array {
    return this.memory.subarray(address, address + bytes);
  }

  /** Where the refcount table is loaded to: as many entries as the image was said to have. */
  get refcountTable(): Uint8Array {
    return this.bytesAt(this.exports.qcow2_refcount_table_address(), this.refcountTableRoom * 8);
  }

  /** Call when L1 and refcount table are loaded. */
  tablesLoaded(): void {
    const entries = this.l1Room + this.refcountTableRoom;
    this.exports.qcow2_init_filter(Math.min(23, Math.max(13, Math.ceil(Math.log2(entries * 16 + 1)))));
    this.takeRecords();
  }

  hasRoom(entries: TableRoom): boolean {
    return entries.l1 <= this.l1Room && entries.refcountTable <= this.refcountTableRoom;
  }

  /**
   * Makes room for so many entries, or for as many as tables may have. The memory may grow: nobody may be reading into it or
   * writing out of it.
   */
  makeRoom(entries: TableRoom): void {
    // Twice as much as before, so that what grows step by step moves few times.
    const grown = (needed: number, room: number, most: number) =>
      needed <= room ? room : Math.min(most, Math.max(needed, 2 * room));
    const l1 = grown(entries.l1, this.l1Room, maxL1Entries);
    const refcountTable = grown(entries.refcountTable, this.refcountTableRoom, maxRefcountTableEntries);
    this.exports.qcow2_make_room(l1, refcountTable);
    this.l1Room = l1;
    this.refcountTableRoom = refcountTable;
    this.takeRecords();
  }

  /** Anew after each step that may let the memory grow. */
  private takeRecords(): void {
    this.mapped = new MappedRecord(this.record);
    this.prepared = new PreparedRecord(this.record);
  }

  // What a code is about.

  /** With `Wait.need`. */
  get neededTable(): NeededTable {
    const { record } = this;
    return { offset: record[0], bytes: record[1], address: record[2], slot: record[3] };
  }

  /** With `Wait.loading`: the slot that another request loads a table into. */
  get loadingSlot(): number {
    return this.record[3];
  }

  /** With `Wait.busy`: the token to wait for. */
  get busyToken(): number {
    return this.record[0];
  }

  /** With `Wait.init`. */
  get freshTable(): FreshTable {
    const { record } = this;
    return { offset: record[0], bytes: record[1], source: record[2], token: record[3] };
  }

  /** With `Wait.growTable`: the index that the refcount table must reach. */
  get neededIndex(): number {
    return this.record[0];
  }

  /** With `StepError.corrupt`. */
  get corruption(): FoundCorruption {
    const { record } = this;
    const [offset, bytes, table, , kind, detail] = record;
    return { kind, offset, bytes, detail, table, guest: bytes };
  }

  // Loading tables.

  /** Whether a slot of the table cache is for L2 slices; the others are for refcount blocks. */
  isL2Slot(slot: number): boolean {
    return slot < this.l2Slots;
  }

  tableLoaded(slot: number): void {
    this.exports.qcow2_table_loaded(slot);
  }

  tableFailed(slot: number): void {
    this.exports.qcow2_table_failed(slot);
  }

  /** Forgets the tables that nobody has used since the last call, but for those that are not on the disk yet. */
  cleanCache(): void {
    this.exports.qcow2_clean_cache();
  }

  /** The content of a `freshTable` is written, or failed to be. 0, or `Wait.writeback`: ask again when that is over. */
  freshTableDone(token: number, ok: boolean): number {
    return this.exports.qcow2_init_done(token, ok);
  }

  // Mapping and writing guest data.

  /** A `Mapping`, with `mapped`. */
  map(offset: number, bytes: number): number {
    return this.exports.qcow2_map(offset, bytes);
  }

  /** A `WriteResult`, with `prepared`. */
  prepareWrite(offset: number, bytes: number): number {
    return this.exports.qcow2_write_prepare(offset, bytes);
  }

  /** Room in the file for a stream that holds the whole guest cluster at `offset`. */
  prepareCompressed(offset: number, bytes: number): number | { offset: number; token: number } {
    const code = this.exports.qcow2_compressed_prepare(offset, bytes);
    return code < 0 ? code : { offset: this.prepared.offset, token: this.prepared.token };
  }

  /** 0, or `Wait.writeback`: ask again when that is over. */
  commitWrite(token: number): number {
    return this.exports.qcow2_write_commit(token);
  }

  abortWrite(token: number): void {
    this.exports.qcow2_write_abort(token);
  }

  /** Changes the mapping of guest clusters: of how many, one at least, and whether nothing else refers to their space. */
  unmap(
    first: number,
    clusters: number,
    how: { mode: number; hasBacking: boolean },
  ): number | { clusters: number; isAlone: boolean } {
    const code = this.exports.qcow2_unmap(first, clusters, how.mode, how.hasBacking);
    return code < 0 ? code : { clusters: this.record[0], isAlone: this.record[1] === 1 };
  }

  /** Takes the table at an index of the L1 table, which maps nothing, out of the tree. */
  dropTable(l1Index: number): number {
    return this.exports.qcow2_drop_table(l1Index);
  }

  // The active L1 table.

  /** The first `entries` of the active L1 table, as they are on disk. Writing to it changes the table. */
  activeL1(entries: number): Uint8Array {
    return this.bytesAt(this.exports.qcow2_l1_address(), entries * 8);
  }

  /** The L1 table on disk is at `offset` from now on. */
  switchL1(offset: number, entries: number): void {
    this.exports.qcow2_switch_l1(offset, entries);
  }

  /** The content of the active L1 table was replaced. */
  noteTables(): void {
    this.exports.qcow2_note_tables();
  }

  // Trees that are shared with snapshots (assembly/qcow2/snapshot.ts). 0 when done.

  beginWalk(undo: boolean): void {
    this.exports.qcow2_walk_begin(undo);
  }

  shareSlice(table: number, slice: number, undo: boolean): number {
    return this.exports.qcow2_share_slice(table, slice, undo);
  }

  shareTable(table: number, undo: boolean): number {
    return this.exports.qcow2_share_table(table, undo);
  }

  shareL1(): number {
    return this.exports.qcow2_share_l1();
  }

  releaseSlice(table: number, slice: number): number {
    return this.exports.qcow2_release_slice(table, slice);
  }

  releaseTables(table: number, clusters: number): number {
    return this.exports.qcow2_release_tables(table, clusters);
  }

  refreshSlice(l1Index: number, slice: number): number {
    return this.exports.qcow2_refresh_slice(l1Index, slice);
  }

  refreshTable(l1Index: number): number {
    return this.exports.qcow2_refresh_table(l1Index);
  }

  // Counts and free clusters.

  refcount(cluster: number): number | { count: number } {
    const code = this.exports.qcow2_refcount(cluster);
    return code < 0 ? code : { count: this.record[0] };
  }

  /** Between 1 and `clusters` clusters in a row. */
  allocateClusters(clusters: number): number | { offset: number; clusters: number } {
    const code = this.exports.qcow2_allocate(clusters);
    return code < 0 ? code : { offset: this.record[0], clusters: this.record[1] };
  }

  /** Gives clusters back to which nothing on disk refers. `reason` is a `FreeReason`. */
  releaseClusters(offset: number, clusters: number, reason: number): number {
    return this.exports.qcow2_release(offset, clusters, reason);
  }

  /** References that were given up can be counted down now. */
  get hasFrees(): boolean {
    return this.exports.qcow2_has_frees() !== 0;
  }

  /** The next cluster to count down; only with `hasFrees`. */
  nextFree(): number | FreedCluster {
    const code = this.exports.qcow2_free_next();
    return code < 0 ? code : { last: code > 0, offset: this.record[1], reason: this.record[2] };
  }

  /** Counts the cluster of `nextFree` down. */
  applyFree(): number {
    return this.exports.qcow2_free_apply();
  }

  // Writing back.

  /** Something waits to be written, or to be counted down. */
  get isDirty(): boolean {
    return this.exports.qcow2_is_dirty() !== 0;
  }

  get hasUnwritten(): boolean {
    return this.exports.qcow2_has_unwritten() !== 0;
  }

  beginWriteback(lazy: boolean): void {
    this.exports.qcow2_writeback_begin(lazy);
  }

  /** What to do next; a `StepError` when what comes next cannot be written. */
  nextWriteback(): WritebackItem | 'flush' | 'done' | number {
    const code = this.exports.qcow2_writeback_next();
    if (code < 0) return code;
    if (code !== Writeback.write) return code === Writeback.flush ? 'flush' : 'done';
    const { record } = this;
    return { offset: record[0], table: this.bytesAt(record[2], record[1]), item: record[3] };
  }

  writebackDone(item: number, ok: boolean): void {
    this.exports.qcow2_writeback_done(item, ok);
  }

  endWriteback(ok: boolean): void {
    this.exports.qcow2_writeback_end(ok);
  }

  /** What an item of a write-back is a part of. */
  kindOfItem(item: number): 'l2' | 'block' | 'l1' | 'refcountTable' {
    if (item < writebackItem.sectors) return this.isL2Slot(item) ? 'l2' : 'block';
    return item % writebackItem.sectors >= writebackItem.l1 ? 'l1' : 'refcountTable';
  }

  // Growing the refcount table, and runs with blocks of their own (assembly/qcow2/table-growth.ts).

  /** A refcount table that reaches `index`, behind its blocks. */
  planGrowth(index: number): number | Plan {
    return this.plan(this.exports.qcow2_grow_plan(index));
  }

  /** A run of `clusters`, behind its blocks. */
  planRun(clusters: number): number | Plan {
    return this.plan(this.exports.qcow2_run_plan(clusters));
  }

  private plan(code: number): number | Plan {
    const { record } = this;
    return code < 0 ? code : { offset: record[0], blocks: record[1], clusters: record[2] };
  }

  /** Block `index` of the plan: its content is good until the next one is made. */
  makeBlock(index: number): { offset: number; table: Uint8Array } {
    this.exports.qcow2_grow_block(index, this.scratch);
    return { offset: this.record[0], table: this.bytesAt(this.scratch, this.clusterBytes) };
  }

  /** Enters the blocks of the plan into the table: what to write, and where. */
  growTable(): { offset: number; table: Uint8Array } {
    this.exports.qcow2_grow_table();
    return { offset: this.record[2], table: this.bytesAt(this.record[0], this.record[1]) };
  }

  /** The header shows the new table, or failed to. */
  growthDone(ok: boolean): void {
    this.exports.qcow2_grow_done(ok);
  }

  /** The blocks of a run are on disk. */
  runDone(): void {
    this.exports.qcow2_run_done();
  }

  // Metadata that must not be overwritten (assembly/qcow2/overlap-check.ts).

  /** Whether the owner of the classes `own` may write there: 0, or `StepError.corrupt`. */
  checkOverlap(offset: number, bytes: number, own: number): number {
    return this.exports.qcow2_check_overlap(offset, bytes, own);
  }

  /** `bytes` 0: there is none. */
  setSnapshotTable(offset: number, bytes: number): void {
    this.exports.qcow2_set_snapshot_table(offset, bytes);
  }

  /** `bytes` 0: there is none. */
  setBitmapDirectory(offset: number, bytes: number): void {
    this.exports.qcow2_set_bitmap_directory(offset, bytes);
  }

  /** Starts and ends in turn, ascending and disjoint, of L1 tables of snapshots; at most 65536 ranges. */
  setInactiveL1(ranges: Float64Array): void {
    this.setRanges(true, ranges);
  }

  /** The same of their L2 tables; at most `inactiveL2Ranges`. */
  setInactiveL2(ranges: Float64Array): void {
    this.setRanges(false, ranges);
  }

  private setRanges(ofL1: boolean, ranges: Float64Array): void {
    const address = this.exports.qcow2_overlap_ranges(ofL1) >>> 0;
    new Float64Array(this.memory.buffer, address, ranges.length).set(ranges);
    this.exports.qcow2_set_overlap_ranges(ofL1, ranges.length / 2);
  }
}
