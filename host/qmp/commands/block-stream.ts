/** block-stream: moves data of lower layers up into a node (specification: jobs, section 10). */
import { invalid } from '../../base/errors.ts';
import { chainFrom, findBackingImage, isBelow, isInChain, nextInChain } from '../../block/chain.ts';
import { onErrorType } from '../../block/error-policy.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { blockJobParams } from '../../jobs/block-job.ts';
import { startStream } from '../../jobs/stream/stream.ts';
import { bool, int64, optional, str, struct, type TypeOf } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

const args = struct('BlockStreamArguments', {
  'job-id': optional(str),
  device: str,
  base: optional(str),
  'base-node': optional(str),
  'backing-file': optional(str),
  'backing-mask-protocol': optional(bool),
  bottom: optional(str),
  speed: optional(int64),
  'on-error': optional(onErrorType),
  'filter-node-name': optional(str),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
});

type Arguments = TypeOf<typeof args>;

export const blockStream = defineCommand({
  name: 'block-stream',
  args,
  async run({ graph, jobs }, given) {
    checkExclusive(given);
    const node = graph.lookup(given.device, given.device);
    const base = findBase(graph, node, given);
    const bottom = findBottom(graph, node, given);
    const end = base ?? (bottom && nextInChain(bottom));
    for (const at of chainFrom(node, end)) at.opBlockers.check('stream');
    if (given['backing-file'] !== undefined && !end) {
      throw invalid('backing file specified, but streaming the entire chain');
    }
    await startStream(graph, jobs, {
      ...blockJobParams(given),
      node,
      base,
      bottom,
      backingFile: given['backing-file'],
      maskProtocol: given['backing-mask-protocol'],
      onError: given['on-error'] ?? 'report',
    });
    return {};
  },
});

const exclusive = [
  ['base', 'base-node'],
  ['base', 'bottom'],
  ['bottom', 'base-node'],
] as const;

function checkExclusive(given: Arguments): void {
  for (const [a, b] of exclusive) {
    if (given[a] === undefined || given[b] === undefined) continue;
    throw invalid(`'${a}' and '${b}' cannot be specified at the same time`);
  }
}

function findBase(graph: BlockGraph, node: BlockNode, given: Arguments): BlockNode | undefined {
  if (given.base !== undefined) {
    const base = findBackingImage(node, given.base);
    if (!base) throw invalid(`Can't find '${given.base}' in the backing chain`);
    return base;
  }
  const name = given['base-node'];
  if (name === undefined) return undefined;
  const base = graph.lookup(undefined, name);
  if (!isBelow(node, base)) {
    throw invalid(`Node '${name}' is not a backing image of '${given.device}'`);
  }
  return base;
}

function findBottom(graph: BlockGraph, node: BlockNode, given: Arguments): BlockNode | undefined {
  const name = given.bottom;
  if (name === undefined) return undefined;
  const bottom = graph.lookup(undefined, name);
  if (bottom.definition.kind === 'filter') {
    throw invalid(`Node '${name}' is a filter, use a non-filter node as 'bottom'`);
  }
  if (!isInChain(node, bottom)) {
    throw invalid(`Node '${name}' is not in a chain starting from '${given.device}'`);
  }
  return bottom;
}
