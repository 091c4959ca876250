/** Where every program gets its graph: block nodes that keep their persistent bitmaps. */
import { bitmapKeeper } from './bitmaps/persistence.ts';
import { BlockGraph, type GraphOptions } from './block/graph.ts';

/** An empty graph, whose nodes load and store their persistent bitmaps. */
export function createGraph(options: Omit<GraphOptions, 'observer'>): BlockGraph {
  return new BlockGraph({ ...options, observer: bitmapKeeper });
}
