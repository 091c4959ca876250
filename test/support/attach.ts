/** A test as the user of a node: named `root`, as guests are, and with everything that others may do allowed to them. */
import { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';

export const readWrite = Perm.consistentRead | Perm.write;
export const readWriteResize = readWrite | Perm.resize;

export function attach(node: BlockNode, perm = readWriteResize): Promise<BlockBackend> {
  return BlockBackend.attach(node, { name: 'root', description: 'the test', perm, shared: Perm.all });
}

/** A node that was opened for this: it closes with the backend. */
export async function attachAlone(node: BlockNode, perm = readWriteResize): Promise<BlockBackend> {
  const backend = await attach(node, perm);
  await node.graph.unref(node);
  return backend;
}
