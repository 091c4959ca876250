/**
 * x-block-dirty-bitmap-map: where on the disk a bitmap is dirty, in as many pieces as the asker can show. Ours: QEMU tells
 * only how much is dirty.
 */
import { invalid } from '../../base/errors.ts';
import { roundUp } from '../../base/sectors.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { array, int, size, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

const maxPieces = 4096;

export const xBlockDirtyBitmapMap = defineCommand({
  name: 'x-block-dirty-bitmap-map',
  args: struct('BlockDirtyBitmapMapArguments', { node: str, name: str, pieces: int }),
  returns: struct('BlockDirtyBitmapMap', {
    /** Bytes of the disk, and of each piece but the last. */
    length: size,
    piece: size,
    /** Dirty bytes of each piece. */
    dirty: array(size),
  }),
  run({ graph }, { node, name, pieces }) {
    if (pieces < 1 || pieces > maxPieces) {
      throw invalid(`Parameter 'pieces' expects a number from 1 to ${maxPieces}`);
    }
    const { bitmap } = findBitmap(graph, node, name);
    const { size: length, granularity } = bitmap;
    const piece = Math.max(granularity, roundUp(length / pieces, granularity));
    const dirty = new Array<number>(Math.ceil(length / piece)).fill(0);
    for (const walk = bitmap.allBits().walk(); walk.next(); ) {
      const end = Math.min(length, walk.offset + walk.bytes);
      for (let at = walk.offset; at < end; ) {
        const index = Math.floor(at / piece);
        const next = Math.min(end, (index + 1) * piece);
        dirty[index]! += next - at; // at < end, which the pieces cover
        at = next;
      }
    }
    return { length, piece, dirty };
  },
});
