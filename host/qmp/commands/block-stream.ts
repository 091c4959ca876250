/** block-stream: moves data of lower layers up into a node (specification: jobs, section 10). */
import { blockJobParams } from '../../jobs/block-job.ts';
import { streamArguments } from '../../jobs/stream/options.ts';
import { loadPart } from '../../platform/platform.ts';
import { defineCommand } from '../command.ts';

export const blockStream = defineCommand({
  name: 'block-stream',
  args: streamArguments,
  async run({ graph, jobs }, given) {
    const { chooseStream, startStream } = await loadPart(
      graph.platform,
      () => import('../../jobs/copying-jobs.ts'),
    );
    await startStream(graph, jobs, {
      ...blockJobParams(given),
      ...chooseStream(graph, given),
      backingFile: given['backing-file'],
      maskProtocol: given['backing-mask-protocol'],
      onError: given['on-error'] ?? 'report',
    });
    return {};
  },
});
