/** Which parts of an image on a web server have been read: what `x-prefetch` takes the next time. */
import { BlockError } from '../base/errors.ts';
import type { BlockNode } from '../block/node.ts';
import { type PrefetchList, prefetchListOf } from '../protocols/http/driver.ts';

/** Of `node`, or else of the nearest node below it that is on a web server. Errors: EINVAL: none is. */
export function prefetchListBelow(node: BlockNode): PrefetchList {
  const nodes = new Set([node]);
  // What is added meanwhile comes up, too.
  for (const { driver, children } of nodes) {
    const list = prefetchListOf(driver);
    if (list) return list;
    for (const edge of children.values()) nodes.add(edge.node);
  }
  throw new BlockError('EINVAL', `Nothing of node '${node.name}' is on a web server`);
}
