/** block-latency-histogram-set: how often a device's requests take how long (specification: graph, section 11). */
import { BlockError, invalid } from '../../base/errors.ts';
import { type AccountedKind, LatencyHistogram } from '../../block/statistics.ts';
import { deviceNotFound } from '../../objects/qom.ts';
import { array, optional, str, struct, uint64 } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { backendOfDevice } from '../device-backend.ts';

const boundaries = optional(array(uint64));
const kinds = ['read', 'write', 'zone-append', 'flush'] as const;

export const blockLatencyHistogramSet = defineCommand({
  name: 'block-latency-histogram-set',
  args: struct('BlockLatencyHistogramSetArguments', {
    id: str,
    boundaries,
    'boundaries-read': boundaries,
    'boundaries-write': boundaries,
    'boundaries-zap': boundaries,
    'boundaries-flush': boundaries,
  }),
  run(context, args) {
    const { id } = args;
    const backend = backendOfDevice(context, id);
    if (!backend) throw deviceNotFound(id);
    const { histograms } = backend.statistics;
    const given = {
      read: args['boundaries-read'],
      write: args['boundaries-write'],
      'zone-append': args['boundaries-zap'],
      flush: args['boundaries-flush'],
    };
    // Without any boundaries all histograms go.
    const remove = args.boundaries === undefined && kinds.every((kind) => given[kind] === undefined);
    for (const kind of kinds) {
      const own = given[kind] ?? args.boundaries;
      if (remove) delete histograms[kind];
      else if (own) histograms[kind] = histogram(id, kind, own);
    }
    return {};
  },
});

function histogram(id: string, kind: AccountedKind, boundaries: readonly number[]): LatencyHistogram {
  try {
    return new LatencyHistogram(boundaries);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw invalid(`Device '${id}' set ${kind.replace('-', ' ')} boundaries fail`);
  }
}
