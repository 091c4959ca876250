/**
 * Everything the host may call of build/qcow2-check.wasm: the consistency check, which few need.
 */
export { result_record } from '../abi';
export { arena_allocate } from '../memory';
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
} from './check';
