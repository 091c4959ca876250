/**
 * Debug events: points in the work of a format that tests want to reach (specification: graph, section 4).
 *
 * A format tells them to its file child and the dispatcher to the node that it works on; whoever listens may fail
 * requests from there on or hold the one at hand. Only blkdebug listens. `Edge.debugged` says whether anybody does, so
 * that telling costs nothing otherwise.
 */

/** In the order of QEMU's declaration. `none` is never told: it stands for the moment of opening. */
export const debugEvents = [
  'l1_update',
  'l1_grow_alloc_table',
  'l1_grow_write_table',
  'l1_grow_activate_table',
  'l2_load',
  'l2_update',
  'l2_update_compressed',
  'l2_alloc_cow_read',
  'l2_alloc_write',
  'read_aio',
  'read_backing_aio',
  'read_compressed',
  'write_aio',
  'write_compressed',
  'vmstate_load',
  'vmstate_save',
  'cow_read',
  'cow_write',
  'reftable_load',
  'reftable_grow',
  'reftable_update',
  'refblock_load',
  'refblock_update',
  'refblock_update_part',
  'refblock_alloc',
  'refblock_alloc_hookup',
  'refblock_alloc_write',
  'refblock_alloc_write_blocks',
  'refblock_alloc_write_table',
  'refblock_alloc_switch_table',
  'cluster_alloc',
  'cluster_alloc_bytes',
  'cluster_free',
  'flush_to_os',
  'flush_to_disk',
  'pwritev_rmw_head',
  'pwritev_rmw_after_head',
  'pwritev_rmw_tail',
  'pwritev_rmw_after_tail',
  'pwritev',
  'pwritev_zero',
  'pwritev_done',
  'empty_image_prepare',
  'l1_shrink_write_table',
  'l1_shrink_free_l2_clusters',
  'cor_write',
  'cluster_alloc_space',
  'none',
] as const;

export type DebugEvent = (typeof debugEvents)[number];

/** Requests that are held where a debug event is told, until somebody lets them go. */
export interface Breakpoints {
  /** The next request that comes to `event` is held. Throws ENOENT for an unknown event. */
  set(event: string, tag: string): void;
  /** Nobody is held by `tag` any more, now or later. Throws ENOENT when no request was still awaited. */
  remove(tag: string): void;
  /** Lets go one request held by `tag`. Throws ENOENT without one. */
  resume(tag: string): void;
  /** Settles when a request is held by `tag`. */
  whenSuspended(tag: string): Promise<void>;
}
