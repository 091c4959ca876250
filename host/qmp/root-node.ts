/** Commands that work on whole disks take a node nobody uses as a child (specification: graph, section 8). */
import { BlockError, invalid } from '../base/errors.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';

/**
 * The root node that `name` finds: neither a node nor a job has it as a child. Errors: unknown, `Need a root block node`,
 * `Device has no medium`.
 */
export function getRootNode(graph: BlockGraph, name: string): BlockNode {
  const backend = graph.backends.find(name);
  if (backend && !backend.hasMedium) throw new BlockError('ENOMEDIUM', `Device '${name}' has no medium`);
  const node = graph.lookup(name, name);
  for (const { parent } of node.parents) {
    if (parent.isNode || parent.job) throw invalid('Need a root block node');
  }
  return node;
}
