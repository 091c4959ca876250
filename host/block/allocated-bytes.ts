/** Space that a node uses on the host. */
import type { BlockNode } from './node.ts';

/** Bytes: of a filter what it passes through uses, of a format all its files but the backing. Undefined: unknown. */
export async function allocatedBytes(node: BlockNode): Promise<number | undefined> {
  if (node.driver.getAllocatedBytes) return node.driver.getAllocatedBytes();
  let total: number | undefined;
  for (const edge of node.children.values()) {
    if (edge.role === 'cow' || edge.role === 'image') continue;
    const bytes = await allocatedBytes(edge.node);
    if (bytes === undefined) return undefined;
    total = (total ?? 0) + bytes;
  }
  return total;
}
