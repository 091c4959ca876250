/**
 * What crosses the boundary to the qcow2 engine in the core, by name: the codes and numbers of assembly/qcow2/, and its steps.
 * qcow2.ts has a typed method for each.
 */

/** What a step returns when the host must do something first (assembly/abi.ts); it is called again then. */
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

/** Kinds of corruption: assembly/qcow2/corruption.ts. */
export const Corruption = {
  refcountBlock: 1,
  l2Table: 2,
  dataCluster: 3,
  overlap: 4,
  refcount: 5,
  zeroInVersion2: 6,
  zeroCluster: 7,
  allocation: 8,
  mapping: 9,
} as const;

/** Classes of metadata: assembly/qcow2/overlap-check.ts. */
export const MetadataClass = {
  none: 0,
  mainHeader: 1 << 0,
  activeL1: 1 << 1,
  activeL2: 1 << 2,
  refcountTable: 1 << 3,
  refcountBlock: 1 << 4,
  snapshotTable: 1 << 5,
  inactiveL1: 1 << 6,
  inactiveL2: 1 << 7,
  bitmapDirectory: 1 << 8,
} as const;

/** What `map` returns. */
export const Mapping = { unallocated: 0, normal: 1, zeroPlain: 2, zeroAllocated: 3, compressed: 4 } as const;

export const UnmapMode = { discard: 0, keep: 1, unmap: 2, full: 3, discardKeeping: 4 } as const;

/** What `prepareWrite` returns. */
export const WriteResult = { inPlace: 0, allocated: 1 } as const;
/** What `qcow2_writeback_next` returns. */
export const Writeback = { done: 0, write: 1, flush: 2 } as const;

/** Why a cluster is freed: assembly/qcow2/pending-free.ts. */
export const FreeReason = { write: 0, request: 1, always: 2, snapshot: 3, other: 4 } as const;

/** The steps. */
export interface Qcow2Exports {
  qcow2_init(clusterBits: number, refcountOrder: number, version: number, l1: number, table: number): void;
  qcow2_make_room(l1: number, table: number): void;
  qcow2_set_tables(l1Offset: number, refcountTableOffset: number): void;
  qcow2_l1_address(): number;
  qcow2_refcount_table_address(): number;
  qcow2_init_cache(l2Count: number, l2Bits: number, blockCount: number, blockBits: number): void;
  qcow2_init_filter(bits: number): void;
  qcow2_init_frees(room: number): void;
  qcow2_init_tokens(): void;
  qcow2_init_cursor(clusterBits: number): void;
  qcow2_init_overlap(classes: number, l1Ranges: number, l2Ranges: number): void;
  qcow2_overlap_ranges(ofL1: boolean): number;
  qcow2_set_overlap_ranges(ofL1: boolean, count: number): void;
  qcow2_set_snapshot_table(offset: number, bytes: number): void;
  qcow2_set_bitmap_directory(offset: number, bytes: number): void;
  qcow2_check_overlap(offset: number, bytes: number, own: number): number;
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
  qcow2_clean_cache(): void;
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
  qcow2_release(offset: number, clusters: number, reason: number): number;
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

/** Items of a write-back that are sectors of a table, and those of the L1 table (assembly/qcow2/writeback.ts). */
export const writebackItem = { sectors: 2 ** 52, l1: 2 ** 51 } as const;
