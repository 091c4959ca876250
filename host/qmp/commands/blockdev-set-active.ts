/** blockdev-set-active: hands images over to another process, and takes them back (specification: graph, section 2). */
import { invalid } from '../../base/errors.ts';
import { loadPart } from '../../platform/platform.ts';
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockdevSetActive = defineCommand({
  name: 'blockdev-set-active',
  args: struct('BlockdevSetActiveArguments', { 'node-name': optional(str), active: bool }),
  async run({ graph }, { 'node-name': name, active }) {
    // Few pages hand images to others.
    const activity = await loadPart(graph.platform, () => import('../../block/activity.ts'));
    if (name === undefined) {
      await activity.setAllActive(graph, active);
      return {};
    }
    const node = graph.findNode(name);
    if (!node) throw invalid(`Failed to find node with node-name='${name}'`);
    await activity.setActive(graph, node, active);
    return {};
  },
});
