/** query-block-exports: all exports, newest first. */
import { exportsOf } from '../../exports/block-exports.ts';
import { array, bool, empty, str, struct } from '../../qapi/types.ts';
import { blockExportType } from '../block-export-type.ts';
import { defineCommand } from '../command.ts';

export const queryBlockExports = defineCommand({
  name: 'query-block-exports',
  args: empty,
  returns: array(
    struct('BlockExportInfo', { id: str, type: blockExportType, 'node-name': str, 'shutting-down': bool }),
  ),
  run: ({ graph }) =>
    exportsOf(graph)
      .list()
      .map(({ id, node, overWebSocket, isShuttingDown }) => ({
        id,
        type: overWebSocket ? 'nbd-ws' : 'nbd',
        'node-name': node.name,
        'shutting-down': isShuttingDown,
      })),
});
