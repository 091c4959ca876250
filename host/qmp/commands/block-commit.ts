/** block-commit: brings the data of upper images of a chain into a lower one (specification: jobs, section 9). */
import { BlockError } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { blockJobParams } from '../../jobs/block-job.ts';
import { commitArguments } from '../../jobs/commit/options.ts';
import { loadPart } from '../../platform/platform.ts';
import { defineCommand } from '../command.ts';
import { getRootNode } from '../root-node.ts';

export const blockCommit = defineCommand({
  name: 'block-commit',
  args: commitArguments,
  async run({ graph, jobs }, options) {
    const { chooseCommit, startActiveCommit, startCommit } = await loadPart(
      graph.platform,
      () => import('../../jobs/copying-jobs.ts'),
    );
    const device = rootOf(graph, options.device);
    const { top, base, isActive } = chooseCommit(graph, device, options);
    const common = {
      ...blockJobParams(options),
      id: options['job-id'] ?? graph.deviceNameOf(device),
      top,
      base,
      onError: options['on-error'] ?? 'report',
    } as const;
    if (isActive) await startActiveCommit(graph, jobs, common);
    else
      await startCommit(graph, jobs, {
        ...common,
        device,
        backingFile: options['backing-file'],
        maskProtocol: options['backing-mask-protocol'],
      });
    return {};
  },
});

/** Clients tell by the class whether there is such a device at all. */
function rootOf(graph: BlockGraph, name: string): BlockNode {
  if (!graph.find(name, name)) {
    throw new BlockError('ENODEV', `Device '${name}' not found`, { class: 'DeviceNotFound' });
  }
  return getRootNode(graph, name);
}
