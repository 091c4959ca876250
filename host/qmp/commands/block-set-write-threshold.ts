/** block-set-write-threshold: an event when a write ends beyond it (specification: graph, section 11). */
import { BlockError } from '../../base/errors.ts';
import { setWriteThreshold } from '../../block/write-threshold.ts';
import { str, struct, uint64 } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockSetWriteThreshold = defineCommand({
  name: 'block-set-write-threshold',
  args: struct('BlockSetWriteThresholdArguments', { 'node-name': str, 'write-threshold': uint64 }),
  run({ graph }, { 'node-name': name, 'write-threshold': offset }) {
    const node = graph.findNode(name);
    if (!node) throw new BlockError('ENODEV', `Device '${name}' not found`);
    setWriteThreshold(node, offset);
    return {};
  },
});
