/**
 * What whoever opens a disk can have put on top of it: an overlay that is gone afterwards, and copying up what is read.
 *
 * A new layer holds what it is on; `replaced` hands the reference that its caller had over to it.
 */
import { createImage } from './create.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import type { NodeOptions } from './options.ts';

/** What `make` puts on top of `node`, which from then on is held by that. */
export async function replaced(
  graph: BlockGraph,
  node: BlockNode,
  make: (below: BlockNode) => Promise<BlockNode>,
): Promise<BlockNode> {
  try {
    return await make(node);
  } finally {
    await graph.unref(node);
  }
}

/**
 * A temporary overlay takes what is written. Its file has no name any more, and goes with the last user. `directory`:
 * without a slash at the end.
 */
export async function addTemporaryOverlay(
  graph: BlockGraph,
  node: BlockNode,
  directory: string,
  { flags = {}, options = {} }: { flags?: Partial<OpenFlags>; options?: NodeOptions } = {},
): Promise<BlockNode> {
  const filename = `${directory}/vl.${randomSuffix(graph)}`;
  await createImage(graph, { filename, format: 'qcow2', size: node.length, quiet: true });
  try {
    return await graph.open(
      { ...options, driver: 'qcow2', file: { driver: 'file', filename }, backing: node.name },
      { ...flags, noFlush: true },
    );
  } finally {
    await graph.platform.files.unlink(filename);
  }
}

const suffixLetters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function randomSuffix({ platform }: BlockGraph): string {
  return Array.from({ length: 6 }, () => suffixLetters[platform.random.below(suffixLetters.length)]).join('');
}

/** The filter that copies what is read from further below up into the node; queries do not show it. */
export async function addCopyOnRead(graph: BlockGraph, node: BlockNode): Promise<BlockNode> {
  // Whether a discard goes on is for the node to say.
  const filter = await graph.open({ driver: 'copy-on-read', file: node.name }, { discard: true });
  filter.implicit = true;
  filter.isHidden = true;
  return filter;
}
