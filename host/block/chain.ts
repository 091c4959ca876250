/** Where nodes are in relation to each other. */
import type { BlockNode } from './node.ts';

/** Whether `node` is `top` or below it, through filters and backing files. */
export function isInChain(top: BlockNode, node: BlockNode): boolean {
  for (let at: BlockNode | undefined = top; at; at = at.chainEdge()?.node) if (at === node) return true;
  return false;
}

/** `node` and everything that it is made of. */
export function nodesFrom(node: BlockNode, found: Set<BlockNode> = new Set()): Set<BlockNode> {
  found.add(node);
  for (const edge of node.children.values()) if (!found.has(edge.node)) nodesFrom(edge.node, found);
  return found;
}
