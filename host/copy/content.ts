/**
 * What there is to copy at a place: data, zeros that need not be read, or nothing that belongs to the copy.
 *
 * The answer is for whole clusters of a copy map, and as long as block status lets it be.
 */
import type { BlockNode } from '../block/node.ts';
import { statusAbove } from '../block/status.ts';
import type { CopyMap } from './copy-map.ts';

export interface Content {
  /** `skip`: not held by the top layer, and so not wanted. */
  kind: 'data' | 'zero' | 'skip';
  /** Whole clusters, but for the end of the image. */
  bytes: number;
}

/** What has to be done for the clusters at `offset` (the start of one), for the first part of `bytes` at least. */
export async function contentOf(
  source: BlockNode,
  map: CopyMap,
  offset: number,
  bytes: number,
  skipUnallocated: boolean,
): Promise<Content> {
  if (skipUnallocated) {
    const top = source.skipFilters();
    const held = await sameStatus(offset, bytes, async (at, rest) => {
      const status = await statusAbove(top, top.backing(), at, rest, false);
      return { bytes: status.bytes, is: status.allocated };
    });
    const whole = map.wholeClusters(offset, held.bytes);
    if (!held.is && whole > 0) return { kind: 'skip', bytes: whole };
    // A cluster counts as held when any part of it is.
    bytes = Math.max(whole, Math.min(map.clusterBytes, bytes));
  }
  const zero = await sameStatus(offset, bytes, async (at, rest) => {
    const status = await statusAbove(source, undefined, at, rest);
    return { bytes: status.bytes, is: status.zero };
  });
  const whole = map.wholeClusters(offset, zero.bytes);
  if (whole === 0) return { kind: 'data', bytes: Math.min(map.clusterBytes, bytes) };
  return { kind: zero.is ? 'zero' : 'data', bytes: whole };
}

/** Extents may come back shorter than they are: goes on as long as the answer stays the same. */
async function sameStatus(
  offset: number,
  bytes: number,
  ask: (offset: number, bytes: number) => Promise<{ bytes: number; is: boolean }>,
): Promise<{ bytes: number; is: boolean }> {
  const first = await ask(offset, bytes);
  let done = first.bytes;
  while (done < bytes) {
    const next = await ask(offset + done, bytes - done);
    if (next.is !== first.is) break;
    done += next.bytes;
  }
  return { bytes: Math.min(done, bytes), is: first.is };
}
