/**
 * Which layers the arguments of block-stream mean (specification: jobs, section 10). The order of the checks is QEMU's.
 */
import { invalid } from '../../base/errors.ts';
import { chainFrom, findBackingImage, isBelow, isInChain, nextInChain } from '../../block/chain.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { StreamArguments } from './options.ts';

interface StreamChoice {
  /** The node that gets the data. */
  node: BlockNode;
  /** Its data and what is below is not copied. */
  base: BlockNode | undefined;
  /** The lowest node whose data is copied. */
  bottom: BlockNode | undefined;
}

/** Throws QEMU's words. */
export function chooseStream(graph: BlockGraph, given: StreamArguments): StreamChoice {
  checkExclusive(given);
  const node = graph.lookup(given.device, given.device);
  const base = findBase(graph, node, given);
  const bottom = findBottom(graph, node, given);
  const end = base ?? (bottom && nextInChain(bottom));
  for (const at of chainFrom(node, end)) at.opBlockers.check('stream');
  if (given['backing-file'] !== undefined && !end) {
    throw invalid('backing file specified, but streaming the entire chain');
  }
  return { node, base, bottom };
}

const exclusive = [
  ['base', 'base-node'],
  ['base', 'bottom'],
  ['bottom', 'base-node'],
] as const;

function checkExclusive(given: StreamArguments): void {
  for (const [a, b] of exclusive) {
    if (given[a] === undefined || given[b] === undefined) continue;
    throw invalid(`'${a}' and '${b}' cannot be specified at the same time`);
  }
}

function findBase(graph: BlockGraph, node: BlockNode, given: StreamArguments): BlockNode | undefined {
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

function findBottom(graph: BlockGraph, node: BlockNode, given: StreamArguments): BlockNode | undefined {
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
