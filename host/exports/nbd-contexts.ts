/**
 * The meta contexts of an exported node: what an NBD client may ask about its blocks (specification: nbd, section 3).
 *
 * An answer begins at the offset that was asked for, its extents follow each other, and no two in a row are alike. It may
 * cover less than was asked, and never more.
 */
import type { DirtyBitmap } from '../bitmaps/dirty-bitmap.ts';
import type { BlockNode } from '../block/node.ts';
import { type BlockStatus, statusAbove } from '../block/status.ts';
import { AllocationFlag } from '../nbd/constants.ts';
import type { MetaContext } from '../nbd/server/offer.ts';
import type { StatusExtent } from '../nbd/server/replies.ts';

export interface NodeContext extends MetaContext {
  /** At most `limit` extents from `offset` on, of at most `bytes` together. Errors: of I/O. */
  extents(offset: number, bytes: number, limit: number): Promise<StatusExtent[]>;
}

/** Bitmaps are dirty in it. */
const dirtyFlag = 1;
/** Number of the first bitmap's context; those before are of the node itself. */
const firstBitmapId = 2;

/** Bit 0: there is no data here. Bit 1: it reads as zeros. */
export function baseAllocation(node: () => BlockNode): NodeContext {
  const flagsOf = ({ data, zero }: BlockStatus): number =>
    (data ? 0 : AllocationFlag.hole) | (zero ? AllocationFlag.zero : 0);
  return { id: 0, name: 'base:allocation', extents: statusExtents(node, flagsOf) };
}

/** 0: in no layer; 1: in the node itself; 2: in its backing file, and so on. */
export function allocationDepth(node: () => BlockNode): NodeContext {
  const depthOf = ({ allocated, depth }: BlockStatus): number => (allocated ? depth + 1 : 0);
  return { id: 1, name: 'qemu:allocation-depth', extents: statusExtents(node, depthOf) };
}

/** `index` counts the bitmaps of the export. */
export function dirtyBitmap(bitmap: DirtyBitmap, index: number): NodeContext {
  return {
    id: firstBitmapId + index,
    name: `qemu:dirty-bitmap:${bitmap.name}`,
    extents(offset, bytes, limit) {
      const collected = new Extents(limit);
      const bits = bitmap.allBits();
      const end = offset + bytes;
      for (let at = offset; at < end; ) {
        const run = bits.status(at, end - at);
        if (!collected.add(run.bytes, run.dirty ? dirtyFlag : 0)) break;
        at += run.bytes;
      }
      return Promise.resolve(collected.list);
    },
  };
}

function statusExtents(
  node: () => BlockNode,
  flagsOf: (status: BlockStatus) => number,
): NodeContext['extents'] {
  return async (offset, bytes, limit) => {
    const collected = new Extents(limit);
    for (let done = 0; done < bytes; ) {
      const status = await statusAbove(node(), undefined, offset + done, bytes - done);
      if (!collected.add(status.bytes, flagsOf(status))) break;
      done += status.bytes;
    }
    return collected.list;
  };
}

class Extents {
  readonly list: { bytes: number; flags: number }[] = [];

  constructor(private readonly limit: number) {}

  /** False: there is no room for a further extent. */
  add(bytes: number, flags: number): boolean {
    const last = this.list.at(-1);
    if (last?.flags === flags) last.bytes += bytes;
    else if (this.list.length === this.limit) return false;
    else this.list.push({ bytes, flags });
    return true;
  }
}
