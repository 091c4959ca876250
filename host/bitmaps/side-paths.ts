/**
 * Which file beside its image a node may use for its dirty bitmaps: one whose image is a plain file of the host, all of
 * it, and that no other node of the graph uses already. A node that shares its image with other processes has none: what
 * it would read may be changing.
 */
import { AttachmentKey } from '../base/attachments.ts';
import { BlockError } from '../base/errors.ts';
import { exactFilename } from '../block/filename.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { bitmapsOf } from './node-bitmaps.ts';
import { sideFileSuffix } from './side-file.ts';

/** Identities of images whose side files nodes of the graph use. */
const claimsKey = new AttachmentKey((_graph: BlockGraph) => new Set<string>());

/** From now on until it is released, the file is that of `node`: `bitmapsOf(node).sidePaths`. */
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
  const claims = node.graph.attachments.get(claimsKey);
  if (claims.has(identity)) return;
  claims.add(identity);
  bitmapsOf(node).sidePaths = { image, identity, sideFile: image + sideFileSuffix };
}

export function releaseSidePaths(node: BlockNode): void {
  const bitmaps = bitmapsOf(node);
  if (!bitmaps.sidePaths) return;
  node.graph.attachments.get(claimsKey).delete(bitmaps.sidePaths.identity);
  bitmaps.sidePaths = undefined;
}

function plainFileOf({ driver, flags, children }: BlockNode): string | undefined {
  if (!driver.bitmapStorage && !driver.isWholeFile) return undefined;
  const file = children.get('file')?.node;
  if (!file?.definition.servesPlainNames || flags.noIo || flags.forceShare) return undefined;
  return exactFilename(file);
}
