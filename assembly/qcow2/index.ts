/**
 * Everything the host may call of build/qcow2.wasm: the steps of an open image. A module of its own, for each export costs an
 * instance memory, and there is one for each image.
 */
export { result_record } from '../abi';
export { arena_allocate } from '../memory';
export { qcow2_init_done, qcow2_write_abort, qcow2_write_commit, qcow2_write_prepare } from './allocate';
export { qcow2_compressed_prepare } from './compressed';
export { qcow2_init_cursor } from './compressed-cursor';
export { qcow2_drop_table, qcow2_unmap } from './discard';
export { qcow2_free_apply, qcow2_free_next } from './free';
export {
  qcow2_init,
  qcow2_l1_address,
  qcow2_make_room,
  qcow2_refcount_table_address,
  qcow2_set_tables,
  qcow2_switch_l1,
} from './image';
export { qcow2_map } from './map';
export { qcow2_init_filter } from './metadata-filter';
export {
  qcow2_check_overlap,
  qcow2_init_overlap,
  qcow2_overlap_ranges,
  qcow2_set_bitmap_directory,
  qcow2_set_overlap_ranges,
  qcow2_set_snapshot_table,
} from './overlap-check';
export { qcow2_init_frees } from './pending-free';
export { qcow2_allocate, qcow2_refcount } from './refcount';
export {
  qcow2_note_tables,
  qcow2_refresh_slice,
  qcow2_refresh_table,
  qcow2_release_slice,
  qcow2_release_tables,
  qcow2_share_l1,
  qcow2_share_slice,
  qcow2_share_table,
  qcow2_walk_begin,
} from './snapshot';
export { qcow2_clean_cache, qcow2_init_cache, qcow2_table_failed, qcow2_table_loaded } from './table-cache';
export {
  qcow2_grow_block,
  qcow2_grow_done,
  qcow2_grow_plan,
  qcow2_grow_table,
  qcow2_release,
  qcow2_run_done,
  qcow2_run_plan,
} from './table-growth';
export { qcow2_init_tokens } from './tokens';
export {
  qcow2_has_frees,
  qcow2_has_unwritten,
  qcow2_is_dirty,
  qcow2_writeback_begin,
  qcow2_writeback_done,
  qcow2_writeback_end,
  qcow2_writeback_next,
} from './writeback';
