/**
 * Putting a filter between a node and everybody who uses it, and taking it out again: one at a time in a graph, for what is
 * below a filter must not change between looking and replacing.
 */
import { assert } from '../base/assert.ts';
import type { EdgeParent } from '../block/edge.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { nodesFrom } from './chain.ts';

/**
 * All parents of `node` come to use `filter` instead, which already has `node` as a child. Those below the filter itself
 * stay: a backup target whose backing file is the source would otherwise lead back to itself.
 * Errors: permission conflicts; nothing has changed then, and the caller's reference on the filter is dropped.
 */
export async function insertFilter(graph: BlockGraph, filter: BlockNode, node: BlockNode): Promise<void> {
  const below: EdgeParent[] = [...nodesFrom(filter)];
  await node.drainBegin();
  try {
    await graph.filterChanges.run(() => graph.replaceNode(node, filter, below));
  } catch (error) {
    await graph.unref(filter);
    throw error;
  } finally {
    node.drainEnd();
  }
}

/**
 * The parents of `filter` use what is below it again: the node it was put above, or another filter that has come between
 * them since. The caller's reference on the filter is dropped. `prepare` is called when nothing is on its way through
 * the filter any more.
 */
export async function removeFilter(
  graph: BlockGraph,
  filter: BlockNode,
  prepare?: () => Promise<void>,
): Promise<void> {
  await filter.drainBegin();
  try {
    await prepare?.();
    await graph.filterChanges.run(() => {
      const below = filter.filtered();
      assert(below, `node ${filter.name} is no filter`);
      return graph.replaceNode(filter, below);
    });
  } finally {
    filter.drainEnd();
  }
  await graph.unref(filter);
}
