/** blockdev-del: takes back what blockdev-add gave (specification: graph, section 2). */
import { invalid } from '../../base/errors.ts';
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockdevDel = defineCommand({
  name: 'blockdev-del',
  args: struct('BlockdevDelArguments', { 'node-name': str }),
  async run({ graph }, { 'node-name': name }) {
    const node = graph.findNode(name);
    if (!node) throw invalid(`Failed to find node with node-name='${name}'`);
    if ([...node.parents].some(({ parent }) => !parent.isNode && !parent.job)) {
      throw invalid(`Node ${name} is in use`);
    }
    node.opBlockers.check('drive-del');
    if (!node.monitorOwned) throw invalid(`Node ${name} is not owned by the monitor`);
    if (node.references > 1) throw invalid(`Block device ${name} is in use`);
    node.monitorOwned = false;
    await graph.unref(node);
    return {};
  },
});
