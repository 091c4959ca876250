/**
 * Everything the host may call.
 */
export { result_record } from './abi';
export { arena_allocate, arena_used } from './memory';
export { bitmap_clear, bitmap_reset, bitmap_resize, bitmap_set } from './bitmap/change';
export {
  bitmap_count,
  bitmap_dirty_areas,
  bitmap_get,
  bitmap_next_dirty,
  bitmap_next_dirty_area,
  bitmap_next_zero,
  bitmap_status,
} from './bitmap/find';
export { bitmap_init } from './bitmap/layout';
export { bitmap_merge_words, bitmap_read_words, bitmap_write_words } from './bitmap/words';
export { cbw_begin_copy, cbw_check_write, cbw_end_copy, cbw_next } from './cbw/copy';
export { cbw_begin_read, cbw_end_read, cbw_reader_in } from './cbw/read';
export { cbw_bitmap, cbw_copying_bytes, cbw_init } from './cbw/state';
export {
  check_accepted_tables,
  check_allocated_clusters,
  check_begin,
  check_compare,
  check_compressed_clusters,
  check_copied_l1,
  check_copied_l2,
  check_drop_reference,
  check_encode,
  check_fragmented_clusters,
  check_get_count,
  check_highest_used,
  check_l1,
  check_l2,
  check_limit,
  check_load,
  check_lost_findings,
  check_mark_used,
  check_next_counted,
  check_raise,
  check_reference,
  check_skipped_tables,
  check_table_changed,
  check_take_findings,
} from './qcow2/check';
export { scan_first_difference } from './scan/compare';
export { scan_first_nonzero, scan_is_zero, scan_run } from './scan/zero';
export {
  qcow2_init_done,
  qcow2_write_abort,
  qcow2_write_commit,
  qcow2_write_prepare,
} from './qcow2/allocate';
export { qcow2_compressed_prepare } from './qcow2/compressed';
export { qcow2_init_cursor } from './qcow2/compressed-cursor';
export { qcow2_drop_table, qcow2_unmap } from './qcow2/discard';
export { qcow2_free_apply, qcow2_free_next } from './qcow2/free';
export {
  qcow2_init,
  qcow2_l1_address,
  qcow2_refcount_table_address,
  qcow2_set_tables,
  qcow2_switch_l1,
} from './qcow2/image';
export { qcow2_map } from './qcow2/map';
export { qcow2_init_filter } from './qcow2/metadata-filter';
export {
  qcow2_check_overlap,
  qcow2_init_overlap,
  qcow2_overlap_ranges,
  qcow2_set_bitmap_directory,
  qcow2_set_overlap_ranges,
  qcow2_set_snapshot_table,
} from './qcow2/overlap-check';
export { qcow2_init_frees } from './qcow2/pending-free';
export { qcow2_allocate, qcow2_refcount } from './qcow2/refcount';
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
} from './qcow2/snapshot';
export {
  qcow2_clean_cache,
  qcow2_init_cache,
  qcow2_table_failed,
  qcow2_table_loaded,
} from './qcow2/table-cache';
export {
  qcow2_grow_block,
  qcow2_grow_done,
  qcow2_grow_plan,
  qcow2_grow_table,
  qcow2_release,
  qcow2_run_done,
  qcow2_run_plan,
} from './qcow2/table-growth';
export { qcow2_init_tokens } from './qcow2/tokens';
export {
  qcow2_has_frees,
  qcow2_has_unwritten,
  qcow2_is_dirty,
  qcow2_writeback_begin,
  qcow2_writeback_done,
  qcow2_writeback_end,
  qcow2_writeback_next,
} from './qcow2/writeback';
