/** block_resize: changes a disk's length (specification: graph, section 11). */
import { invalid } from '../../base/errors.ts';
import { BlockBackend } from '../../block/backend.ts';
import { Perm } from '../../block/permissions.ts';
import { int64, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockResize = defineCommand({
  name: 'block_resize',
  args: struct('BlockResizeArguments', { device: optional(str), 'node-name': optional(str), size: int64 }),
  async run({ graph }, { device, 'node-name': name, size }) {
    const node = graph.lookup(device, name);
    if (size < 0) throw invalid("Parameter 'size' expects a >0 size");
    node.opBlockers.check('resize');
    await node.drainBegin();
    try {
      const backend = await BlockBackend.attach(node, {
        name: 'root',
        description: 'an unnamed block device',
        perm: Perm.resize,
        shared: Perm.all,
      });
      try {
        backend.ignoreDrain = true;
        await backend.truncate(size);
      } finally {
        await backend.close();
      }
    } finally {
      node.drainEnd();
    }
    return {};
  },
});
