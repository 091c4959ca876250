/**
 * Block status as the image tools tell it: of a raw node it is that of its file, which may itself be an image with a
 * backing file. Whether the file holds a range is then not whether the raw node decides its content, which jobs ask
 * (status.ts): they would lose what only the file's backing file has.
 */
import type { BlockNode } from './node.ts';
import { type BlockStatus, blockStatus } from './status.ts';

/** Only a raw node says whether it is the whole of its file. */
export function isRaw({ driver }: BlockNode): boolean {
  return driver.isWholeFile !== undefined;
}

/** As `blockStatus`. */
export async function statusThroughRaw(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero = true,
): Promise<BlockStatus> {
  let below = { node, offset, bytes };
  for (let next = await fileOf(below); next; next = await fileOf(below)) below = next;
  const status = await blockStatus(below.node, below.offset, below.bytes, wantZero);
  return below.node === node ? status : { ...status, eof: offset + status.bytes >= node.length };
}

interface Range {
  node: BlockNode;
  offset: number;
  bytes: number;
}

/** The same range in what a filter or a raw node passes it to. */
async function fileOf({ node, offset, bytes }: Range): Promise<Range | undefined> {
  const filtered = node.driver.map ? undefined : node.filtered();
  if (filtered) {
    await node.driver.checkStatus?.(offset, bytes);
    return { node: filtered, offset, bytes };
  }
  if (!isRaw(node) || offset >= node.length) return undefined;
  const extent = await node.driver.map?.(offset, Math.min(bytes, node.length - offset));
  const place = extent?.type === 'data' ? extent.child.plain : undefined;
  if (extent?.type !== 'data' || !place || extent.offset >= place.node.length) return undefined;
  return { node: place.node, offset: extent.offset, bytes: extent.bytes };
}
