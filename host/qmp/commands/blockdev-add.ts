/** blockdev-add: opens a node under a name; it stays until blockdev-del (specification: graph, section 2). */
import { invalid } from '../../base/errors.ts';
import { type BlockdevOptions, blockdevOptionsType } from '../blockdev-options.ts';
import { defineCommand } from '../command.ts';

export const blockdevAdd = defineCommand({
  name: 'blockdev-add',
  args: (drivers) => blockdevOptionsType(drivers.definitions),
  async run({ graph }, options: BlockdevOptions) {
    if (options['node-name'] === undefined) {
      throw invalid("'node-name' must be specified for the root node");
    }
    const node = await graph.open(options);
    node.monitorOwned = true;
    return {};
  },
});
