/**
 * The qcow2 engine's steps, typed (assembly/qcow2/).
 */
import { CoreInstance } from './instance.ts';

/** What a step returns when the host must do something first; it has then changed nothing and is called again. */
export const Wait = {
  need: -1,
  loading: -2,
  busy: -3,
  writeback: -4,
  init: -5,
  growTable: -6,
  freesFull: -7,
} as const;

export const StepError = { corrupt: -16, tooBig: -18, invalid: -19, io: -20 } as const;

/** What `qcow2_map` returns. */
export const Mapping = { unallocated: 0, normal: 1, zeroPlain: 2, zeroAllocated: 3, compressed: 4 } as const;

export const UnmapMode = { discard: 0, keep: 1, unmap: 2, full: 3 } as const;

export const WriteResult = { inPlace: 0, allocated: 1 } as const;
export const Writeback = { done: 0, write: 1, flush: 2 } as const;

/** Why a cluster is freed: what `qcow2_free_next` leaves in record 2. */
export const FreeReason = { replaced: 0, request: 1, shrinking: 2, snapshot: 3 } as const;

interface Qcow2Exports {
  qcow2_init(
    clusterBits: number,
    refcountOrder: number,
    version: number,
    l1: number,
    l1Room: number,
    table: number,
    tableRoom: number,
  ): void;
  qcow2_set_tables(l1Offset: number, refcountTableOffset: number): void;
  qcow2_l1_address(): number;
  qcow2_refcount_table_address(): number;
  qcow2_init_cache(l2Count: number, l2Bits: number, blockCount: number, blockBits: number): void;
  qcow2_init_filter(bits: number): void;
  qcow2_init_frees(room: number): void;
  qcow2_init_tokens(): void;
  qcow2_init_cursor(clusterBits: number): void;
  qcow2_protect(offset: number, bytes: number): number;
  qcow2_unprotect(): void;
  qcow2_switch_l1(offset: number, entries: number): number;
  qcow2_note_tables(): void;
  qcow2_walk_begin(undo: boolean): void;
  qcow2_share_slice(table: number, slice: number, undo: boolean): number;
  qcow2_share_table(table: number, undo: boolean): number;
  qcow2_share_l1(): number;
  qcow2_release_slice(table: number, slice: number): number;
  qcow2_release_tables(table: number, clusters: number): number;
  qcow2_refresh_slice(l1Index: number, slice: number): number;
  qcow2_refresh_table(l1Index: number): number;
  qcow2_table_loaded(slot: number): void;
  qcow2_table_failed(slot: number): void;
  qcow2_map(guest: number, bytes: number): number;
  qcow2_write_prepare(guest: number, bytes: number): number;
  qcow2_write_commit(token: number): number;
  qcow2_write_abort(token: number): void;
  qcow2_init_done(token: number, ok: boolean): number;
  qcow2_compressed_prepare(guest: number, bytes: number): number;
  qcow2_unmap(firstCluster: number, clusters: number, mode: number, hasBacking: boolean): number;
  qcow2_drop_table(l1Index: number): number;
  qcow2_refcount(cluster: number): number;
  qcow2_free_next(): number;
  qcow2_free_apply(): number;
  qcow2_has_frees(): number;
  qcow2_has_unwritten(): number;
  qcow2_is_dirty(): number;
  qcow2_allocate(clusters: number): number;
  qcow2_release(offset: number, clusters: number): number;
  qcow2_writeback_begin(lazy: boolean): number;
  qcow2_writeback_next(): number;
  qcow2_writeback_done(item: number, ok: boolean): void;
  qcow2_writeback_end(ok: boolean): void;
  qcow2_grow_plan(index: number): number;
  qcow2_grow_block(index: number, address: number): number;
  qcow2_grow_table(): number;
  qcow2_grow_done(ok: boolean): void;
  qcow2_run_plan(clusters: number): number;
  qcow2_run_done(): void;
}

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
}

/** Entries that the tables may grow to; untouched memory costs nothing. */
const maxL1Entries = 4_194_304;
const maxRefcountTableEntries = 1_048_576;
/** Items of a write-back that are sectors of a table, and those of the L1 table (assembly/qcow2/writeback.ts). */
const sectorsFlag = 2 ** 52;
const l1Flag = 2 ** 51;
/** Runs of clusters that may wait to be counted down. */
const pendingFreeRoom = 32_768;

export class Qcow2Core extends CoreInstance<Qcow2Exports> {
  readonly l1: Uint8Array;
  readonly refcountTable: Uint8Array;
  /** One cluster, for tables that are made before they are written. */
  readonly scratch: { address: number; bytes: Uint8Array };
  private readonly l2Slots: number;

  constructor(options: Qcow2CoreOptions) {
    const clusterBytes = 2 ** options.clusterBits;
    const cacheBytes =
      options.l2EntryCount * 2 ** options.l2EntryBits + options.refcountEntryCount * clusterBytes;
    const slots = options.l2EntryCount + options.refcountEntryCount;
    super(
      maxL1Entries * 8 + maxRefcountTableEntries * 8 + cacheBytes + slots * 64 + clusterBytes + (8 << 20),
    );
    this.l2Slots = options.l2EntryCount;
    const e = this.exports;
    e.qcow2_init(
      options.clusterBits,
      options.refcountOrder,
      options.version,
      options.l1Entries,
      maxL1Entries,
      options.refcountTableEntries,
      maxRefcountTableEntries,
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
    this.scratch = this.allocate(clusterBytes);
    this.l1 = this.memory.subarray(e.qcow2_l1_address(), e.qcow2_l1_address() + options.l1Entries * 8);
    const table = e.qcow2_refcount_table_address();
    this.refcountTable = this.memory.subarray(table, table + options.refcountTableEntries * 8);
  }

  /** Whether a slot of the table cache is for L2 slices; the others are for refcount blocks. */
  isL2Slot(slot: number): boolean {
    return slot < this.l2Slots;
  }

  /** What an item of a write-back is a part of. */
  kindOfItem(item: number): 'l2' | 'block' | 'l1' | 'refcountTable' {
    if (item < sectorsFlag) return this.isL2Slot(item) ? 'l2' : 'block';
    return item % sectorsFlag >= l1Flag ? 'l1' : 'refcountTable';
  }

  /** Call when L1 and refcount table are loaded. */
  tablesLoaded(): void {
    const entries = (this.l1.length + this.refcountTable.length) / 8;
    this.exports.qcow2_init_filter(Math.min(23, Math.max(13, Math.ceil(Math.log2(entries * 16 + 1)))));
  }
}
