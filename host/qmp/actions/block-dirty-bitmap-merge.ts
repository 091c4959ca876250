/** block-dirty-bitmap-merge: adds what other bitmaps have recorded, all of it or nothing. */
import { mergeBitmaps } from '../../bitmaps/dirty-bitmap.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { array, str, struct } from '../../qapi/types.ts';
import { defineAction } from './action.ts';
import { bitmapOrName } from './bitmap-data.ts';

const bitmapMergeData = struct('BlockDirtyBitmapMerge', {
  node: str,
  target: str,
  bitmaps: array(bitmapOrName),
});

export const blockDirtyBitmapMerge = defineAction({
  type: 'block-dirty-bitmap-merge',
  data: bitmapMergeData,
  supportsGrouped: false,
  create({ graph }, { node, target, bitmaps }) {
    let undo: (() => void) | undefined;
    return {
      async prepare() {
        const { bitmap } = findBitmap(graph, node, target);
        const sources = bitmaps.map((source) =>
          typeof source === 'string'
            ? findBitmap(graph, node, source)
            : findBitmap(graph, source.node, source.name),
        );
        const before = mergeBitmaps(
          bitmap,
          sources.map((source) => source.bitmap),
        );
        undo = () => bitmap.restore(before);
      },
      async abort() {
        undo?.();
      },
    };
  },
});
