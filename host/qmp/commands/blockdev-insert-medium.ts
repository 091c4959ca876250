/** blockdev-insert-medium: puts a node into an open tray (specification: graph, section 11). */
import { invalid } from '../../base/errors.ts';
import { insertMedium } from '../../machine/media.ts';
import { str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const blockdevInsertMedium = defineMachineCommand({
  name: 'blockdev-insert-medium',
  args: struct('BlockdevInsertMediumArguments', { id: str, 'node-name': str }),
  async run({ graph }, { id, 'node-name': nodeName }, context) {
    const { backend } = backendOf(context, { id });
    const node = graph.findNode(nodeName);
    if (!node) throw invalid(`Node '${nodeName}' not found`);
    if (graph.backends.list().some((other) => other.hasMedium && other.node === node)) {
      throw invalid(`Node '${nodeName}' is already in use`);
    }
    await insertMedium(backend, node);
    return {};
  },
});
