/** blockdev-mirror: keeps a node that is there already in step with another. */
import { mirrorCommon } from '../../jobs/mirror/mirror-options.ts';
import { loadPart } from '../../platform/platform.ts';
import { extend, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { getRootNode } from '../root-node.ts';

export const blockdevMirror = defineCommand({
  name: 'blockdev-mirror',
  args: extend(
    'BlockdevMirrorArguments',
    mirrorCommon,
    struct('BlockdevMirrorOwn', { 'filter-node-name': optional(str) }),
  ),
  async run({ graph, jobs }, options) {
    const { mirror } = await loadPart(graph.platform, () => import('../../jobs/copying-jobs.ts'));
    const source = getRootNode(graph, options.device);
    const target = graph.lookup(options.target, options.target);
    await mirror(graph, jobs, {
      source,
      target,
      options,
      zeroTarget: true,
      unmap: true,
      targetBacking: 'leave',
      filterNodeName: options['filter-node-name'],
    });
    return {};
  },
});
