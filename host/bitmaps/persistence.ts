/**
 * The life of persistent dirty bitmaps (specification: bitmaps, section 5; qcow2, section 6.7).
 *
 * | when                  | writable node                                     | read-only node                     |
 * | --------------------- | ------------------------------------------------- | ---------------------------------- |
 * | it opens              | loaded; what is stored is marked as in use        | loaded as read-only                |
 * | it closes             | stored                                            |                                    |
 * | it becomes read-only  | stored, and read-only from then on                |                                    |
 * | it becomes writable   |                                                   | marked as in use, writable         |
 *
 * A bitmap that was found marked is inconsistent: it has no bits, is not stored, and stays marked until it is removed.
 * What cannot be stored when a node closes is lost, with a warning: the marks in the image say so.
 *
 * Where they are stored is the format's affair: block/bitmap-storage.ts.
 */
import { BlockError } from '../base/errors.ts';
import type { BitmapStorage } from '../block/bitmap-storage.ts';
import { BlockGraph, type GraphOptions } from '../block/graph.ts';
import type { GraphObserver } from '../block/graph-observer.ts';
import type { BlockNode } from '../block/node.ts';
import type { HierarchicalBitmap } from '../core/bitmap.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';
import { bitmapsOf, findBitmap } from './node-bitmaps.ts';

/** A graph whose nodes keep their persistent bitmaps. Every program makes its graph here. */
export function createGraph(options: Omit<GraphOptions, 'observer'>): BlockGraph {
  return new BlockGraph({ ...options, observer: bitmapKeeper });
}

const bitmapKeeper: GraphObserver = {
  async nodeOpened(node) {
    const storage = node.driver.bitmapStorage;
    if (!storage) return;
    const bitmaps = bitmapsOf(node);
    for (const stored of storage.list()) {
      const bitmap = bitmaps.addStored(stored);
      if (!stored.inconsistent) await storage.load(stored.name, bitmap.bits);
    }
    if (!node.readOnly) await makeWritable(node, storage);
  },

  async nodeClosing(node) {
    const storage = node.driver.bitmapStorage;
    if (!storage) return;
    try {
      await store(node, storage);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      node.graph.platform.console.stderr(
        `Lost persistent bitmaps during inactivation of node '${node.name}': ${error.message}`,
      );
    }
  },

  async beforeReadOnly(node) {
    const storage = node.driver.bitmapStorage;
    if (storage) for (const bitmap of await store(node, storage)) bitmap.readonly = true;
  },

  async afterWritable(node) {
    const storage = node.driver.bitmapStorage;
    if (storage) await makeWritable(node, storage);
  },

  findBitmap(graph, nodeName, name) {
    const { bitmap } = findBitmap(graph, nodeName, name);
    return { bits: bitmap.bits, checkReadable: () => bitmap.check('read') };
  },
};

async function makeWritable(node: BlockNode, storage: BitmapStorage): Promise<void> {
  await storage.markInUse();
  for (const bitmap of bitmapsOf(node)) bitmap.readonly = false;
}

/** Which were stored. */
async function store(node: BlockNode, storage: BitmapStorage): Promise<readonly DirtyBitmap[]> {
  const bitmaps = [...bitmapsOf(node)].filter((bitmap) => bitmap.isStoredOnClose);
  if (bitmaps.length === 0) return bitmaps;
  if (node.readOnly) throw new BlockError('EACCES', 'No write access');
  await storage.store(
    // Persistent ones have names.
    bitmaps.map((bitmap) => ({
      name: bitmap.name!,
      granularity: bitmap.granularity,
      enabled: bitmap.recording,
      bits: allBits(bitmap),
    })),
  );
  return bitmaps;
}

/** What was recorded in it and, while an operation has it, in its place. */
function allBits(bitmap: DirtyBitmap): HierarchicalBitmap {
  if (!bitmap.successor) return bitmap.bits;
  const all = bitmap.copyBits();
  all.merge(bitmap.successor.bits);
  return all;
}
