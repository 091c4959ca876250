/** What query-blockstats answers: a device or node and what is below it (specification: graph, section 12). */
import { withoutUndefined } from '../base/without-undefined.ts';
import type { BlockBackend } from '../block/backend.ts';
import { nextInChain } from '../block/chain.ts';
import type { BlockNode } from '../block/node.ts';
import { BlockStatistics } from '../block/statistics.ts';
import { any, array, bool, int64, num, optional, str, struct } from '../qapi/types.ts';

const histogram = optional(
  struct('BlockLatencyHistogramInfo', { boundaries: array(int64), bins: array(int64) }),
);

const timedStats = struct('BlockDeviceTimedStats', {
  interval_length: int64,
  min_rd_latency_ns: int64,
  max_rd_latency_ns: int64,
  avg_rd_latency_ns: int64,
  min_wr_latency_ns: int64,
  max_wr_latency_ns: int64,
  avg_wr_latency_ns: int64,
  min_flush_latency_ns: int64,
  max_flush_latency_ns: int64,
  avg_flush_latency_ns: int64,
  min_zone_append_latency_ns: int64,
  max_zone_append_latency_ns: int64,
  avg_zone_append_latency_ns: int64,
  avg_rd_queue_depth: num,
  avg_wr_queue_depth: num,
  avg_zone_append_queue_depth: num,
});

const deviceStats = struct('BlockDeviceStats', {
  rd_bytes: int64,
  wr_bytes: int64,
  zone_append_bytes: int64,
  unmap_bytes: int64,
  rd_operations: int64,
  wr_operations: int64,
  zone_append_operations: int64,
  flush_operations: int64,
  unmap_operations: int64,
  rd_total_time_ns: int64,
  wr_total_time_ns: int64,
  zone_append_total_time_ns: int64,
  flush_total_time_ns: int64,
  unmap_total_time_ns: int64,
  wr_highest_offset: int64,
  rd_merged: int64,
  wr_merged: int64,
  zone_append_merged: int64,
  unmap_merged: int64,
  idle_time_ns: optional(int64),
  failed_rd_operations: int64,
  failed_wr_operations: int64,
  failed_zone_append_operations: int64,
  failed_flush_operations: int64,
  failed_unmap_operations: int64,
  invalid_rd_operations: int64,
  invalid_wr_operations: int64,
  invalid_zone_append_operations: int64,
  invalid_flush_operations: int64,
  invalid_unmap_operations: int64,
  account_invalid: bool,
  account_failed: bool,
  timed_stats: array(timedStats),
  rd_latency_histogram: histogram,
  wr_latency_histogram: histogram,
  zone_append_latency_histogram: histogram,
  flush_latency_histogram: histogram,
});

export const blockStatsType = struct('BlockStats', {
  device: optional(str),
  qdev: optional(str),
  'node-name': optional(str),
  stats: deviceStats,
  'driver-specific': optional(any),
  parent: optional(any),
  backing: optional(any),
});

type Described = Record<string, unknown>;

/** A device, its medium and what is below that. */
export function backendStatistics(backend: BlockBackend): Described {
  const node = backend.hasMedium ? backend.node.skipImplicit() : undefined;
  return {
    device: backend.name,
    ...withoutUndefined({ qdev: backend.device?.name }),
    ...(node ? nodeStatistics(node, true) : {}),
    stats: backend.statistics.query(node?.highestWriteOffset ?? 0),
  };
}

/** A node and its file; `withChain`: what is below it in its chain too, but for what was inserted by itself. */
export function nodeStatistics(node: BlockNode, withChain: boolean): Described {
  const storage = node.filtered() ?? node.primaryChild()?.node;
  const below = nextInChain(node);
  const specific = node.driver.statistics?.();
  return {
    'node-name': node.name,
    stats: unaccounted(node),
    ...(specific ? { 'driver-specific': { driver: node.definition.name, ...specific } } : {}),
    ...(storage ? { parent: nodeStatistics(storage, withChain) } : {}),
    ...(withChain && below ? { backing: nodeStatistics(below.skipImplicit(), withChain) } : {}),
  };
}

/** Nodes do not count: only how far was written is known of them. */
function unaccounted(node: BlockNode): object {
  const statistics = new BlockStatistics(node.graph.platform.clock);
  statistics.accountInvalid = false;
  statistics.accountFailed = false;
  return statistics.query(node.highestWriteOffset);
}
