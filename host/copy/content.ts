/**
 * What there is to copy at a place: data, zeros that need not be read, or nothing that belongs to the copy.
 *
 * The answer is for whole clusters of a copy map, and as long as block status lets it be.
 */
import type { BlockNode } from '../block/node.ts';
import { statusAbove } from '../block/status.ts';
import type { Units } from './units.ts';

export interface Content {
  /** `skip`: not held by the top layer, and so not wanted. */
  kind: 'data' | 'zero' | 'skip';
  /** Whole clusters, but for the end of the image. */
  bytes: number;
}

/** What has to be done for the clusters at `offset` (the start of one), for the first part of `bytes` at least. */
export async function contentOf(
  source: BlockNode,
  clusters: Units,
  offset: number,
  bytes: number,
  skipUnallocated: boolean,
): Promise<Content> {
  if (skipUnallocated) {
    const top = source.skipFilters();
    const held = await clusters.firstOfAKind(
      { offset, bytes },
      (at, rest) => statusAbove(top, top.backing(), at, rest, false),
      ({ allocated }) => allocated,
    );
    // A cluster counts as held when any part of it is.
    if (held.kind === false) return { kind: 'skip', bytes: held.bytes };
    bytes = held.bytes;
  }
  const zero = await clusters.firstOfAKind(
    { offset, bytes },
    (at, rest) => statusAbove(source, undefined, at, rest),
    (status) => status.zero,
  );
  return { kind: zero.kind ? 'zero' : 'data', bytes: zero.bytes };
}
