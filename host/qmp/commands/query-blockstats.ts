/** query-blockstats: what devices have done to their disks, or all nodes (specification: graph, section 12). */
import { array, bool, optional, struct } from '../../qapi/types.ts';
import { backendStatistics, blockStatsType, nodeStatistics } from '../block-statistics.ts';
import { defineCommand } from '../command.ts';

export const queryBlockstats = defineCommand({
  name: 'query-blockstats',
  args: struct('QueryBlockstatsArguments', { 'query-nodes': optional(bool) }),
  returns: array(blockStatsType),
  run({ graph }, { 'query-nodes': queryNodes = false }) {
    if (!queryNodes) return graph.backends.list().map(backendStatistics);
    return graph
      .shownNodes()
      .reverse()
      .map((node) => nodeStatistics(node, false));
  },
});
