/** query-named-block-nodes: every node, newest first. */
import { array, bool, optional, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { blockDeviceInfo, blockDeviceInfoType } from '../node-info.ts';

export const queryNamedBlockNodes = defineCommand({
  name: 'query-named-block-nodes',
  args: struct('QueryNamedBlockNodesArguments', { flat: optional(bool) }),
  returns: array(blockDeviceInfoType),
  async run({ graph }, { flat = false }) {
    const infos = [];
    for (const node of graph.shownNodes()) infos.push(await blockDeviceInfo(node, flat));
    return infos;
  },
});
