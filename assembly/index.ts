/**
 * Everything the host may call of build/core.wasm: scans, bitmaps and copy-before-write.
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
export { scan_first_difference } from './scan/compare';
export { scan_first_nonzero, scan_is_zero, scan_run } from './scan/zero';
