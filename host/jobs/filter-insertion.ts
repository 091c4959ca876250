/**
 * Putting a filter between a node and everybody who uses it, and taking it out again.
 */
import type { EdgeParent } from '../block/edge.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';

/**
 * All parents of `node` come to use `filter` instead, which already has `node` as a child. Those below the filter itself
 * stay: a backup target whose backing file is the source would otherwise lead back to itself.
 * Errors: permission conflicts; nothing has changed then.
 */
export async function insertFilter(graph: BlockGraph, filter: BlockNode, node: BlockNode): Promise<void> {
  const below: EdgeParent[] = [...nodesFrom(filter)];
  await node.drainBegin();
  try {
    await graph.replaceNode(node, filter, below);
  } finally {
    node.drainEnd();
  }
}

/** The parents of `filter` use `node` again. The caller's reference on the filter is dropped. */
export async function removeFilter(graph: BlockGraph, filter: BlockNode, node: BlockNode): Promise<void> {
  await node.drainBegin();
  try {
    await graph.replaceNode(filter, node);
  } finally {
    node.drainEnd();
  }
  await graph.unref(filter);
}

function nodesFrom(node: BlockNode, found = new Set<BlockNode>()): Set<BlockNode> {
  found.add(node);
  for (const edge of node.children.values()) if (!found.has(edge.node)) nodesFrom(edge.node, found);
  return found;
}
