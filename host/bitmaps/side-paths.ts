/**
 * Which file beside its image a node may use for its dirty bitmaps: one whose image is a plain file of the host, all of
 * it, and that no other node of the graph uses already. A node that shares its image with other processes has none: what
 * it would read may be changing.
 */
import { BlockError } from '../base/errors.ts';
import { exactFilename } from '../block/filename.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { sideFileSuffix } from './side-file.ts';
import type { SidePaths } from './side-file-storage.ts';

const claims = new WeakMap<BlockGraph, Map<string, BlockNode>>();
const pathsOf = new WeakMap<BlockNode, { paths: SidePaths; identity: string }>();

/** The file of `node`, until it is released. */
export function sidePathsOf(node: BlockNode): SidePaths | undefined {
  return pathsOf.get(node)?.paths;
}

export async function claimSidePaths(node: BlockNode): Promise<void> {
  const image = plainFileOf(node);
  if (image === undefined) return;
  let identity: string;
  try {
    identity = await node.graph.platform.files.identify(image);
  } catch (error) {
    // A name that leads nowhere any more: the image is open all the same.
    if (!(error instanceof BlockError)) throw error;
    return;
  }
  let claimed = claims.get(node.graph);
  if (!claimed) claims.set(node.graph, (claimed = new Map()));
  if (claimed.has(identity)) return;
  claimed.set(identity, node);
  pathsOf.set(node, { paths: { image, sideFile: image + sideFileSuffix }, identity });
}

export function releaseSidePaths(node: BlockNode): void {
  const own = pathsOf.get(node);
  if (!own) return;
  pathsOf.delete(node);
  claims.get(node.graph)?.delete(own.identity);
}

function plainFileOf({ driver, flags, children }: BlockNode): string | undefined {
  if (!driver.bitmapStorage && !driver.isWholeFile) return undefined;
  const file = children.get('file')?.node;
  if (!file?.definition.servesPlainNames || flags.noIo || flags.forceShare) return undefined;
  return exactFilename(file);
}
