/** In what units an image keeps its data. */
import type { BlockNode } from './node.ts';

/** Bytes: of the image that the node is or filters. Undefined or 0: it has no clusters, or does not tell. */
export function clusterBytesOf(node: BlockNode): number | undefined {
  return node.skipFilters().driver.info?.().clusterBytes;
}
