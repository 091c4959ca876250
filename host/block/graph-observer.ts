/**
 * Whoever keeps something with nodes that outlives them, and so has to know when they come, go and become read-only:
 * persistent dirty bitmaps (bitmaps/persistence.ts).
 *
 * A graph without one keeps nothing, and takes care that nobody later relies on what is stored.
 */
import { invalid } from '../base/errors.ts';
import type { HierarchicalBitmap } from '../core/bitmap.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';

export interface GraphObserver {
  /** The driver is open, nobody has the node yet. An error fails the opening. */
  nodeOpened(node: BlockNode): Promise<void>;
  /** The driver is about to close, nothing is in flight. Also when opening has failed further on. */
  nodeClosing(node: BlockNode): Promise<void>;
  /** The node is drained and will be read-only. An error keeps it writable. */
  beforeReadOnly(node: BlockNode): Promise<void>;
  /** The node has become writable, or stays so after all; it is still drained. */
  afterWritable(node: BlockNode): Promise<void>;
  /** The node is drained, and somebody else will have the image. An error keeps it active. */
  beforeInactive(node: BlockNode): Promise<void>;
  /** The node has become active, or stays so after all; it is still drained. */
  afterActive(node: BlockNode): Promise<void>;
  /** What a dirty bitmap has recorded, for a driver that starts from it. Errors: there is no such node or bitmap. */
  findBitmap(graph: BlockGraph, nodeName: string, name: string): RecordedBitmap;
}

interface RecordedBitmap {
  readonly bits: HierarchicalBitmap;
  /** Throws when it cannot be read at the moment. */
  checkReadable(): void;
}

async function distrustStored(node: BlockNode): Promise<void> {
  const storage = node.driver.bitmapStorage;
  if (node.readOnly || !storage) return;
  await storage.tie?.change(undefined);
  await storage.markInUse();
}

export const unobserved: GraphObserver = {
  nodeOpened: distrustStored,
  nodeClosing: async () => {},
  beforeReadOnly: async () => {},
  afterWritable: distrustStored,
  beforeInactive: async () => {},
  afterActive: distrustStored,
  findBitmap(_graph, _nodeName, name) {
    throw invalid(`Dirty bitmap '${name}' not found`);
  },
};
