/** blockdev-reopen: opens nodes anew with other options, all of them or none (specification: graph, section 2). */
import { invalid } from '../../base/errors.ts';
import { array, struct } from '../../qapi/types.ts';
import { blockdevOptionsType } from '../blockdev-options.ts';
import { defineCommand } from '../command.ts';

export const blockdevReopen = defineCommand({
  name: 'blockdev-reopen',
  args: (drivers) =>
    struct('BlockdevReopenArguments', { options: array(blockdevOptionsType(drivers.definitions)) }),
  async run({ graph }, { options }) {
    const requests = options.map((given) => {
      const name = given['node-name'];
      if (name === undefined) throw invalid('node-name not specified');
      const node = graph.findNode(name);
      if (!node) throw invalid(`Failed to find node with node-name='${name}'`);
      return { node, options: given };
    });
    await graph.reopen(requests);
    return {};
  },
});
