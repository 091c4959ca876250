/** block-dirty-bitmap-clear: forgets what was recorded so far. */
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { defineAction } from './action.ts';
import { bitmapData } from './bitmap-data.ts';

export const blockDirtyBitmapClear = defineAction({
  type: 'block-dirty-bitmap-clear',
  data: bitmapData,
  supportsGrouped: false,
  create({ graph }, { node, name }) {
    let undo: (() => void) | undefined;
    return {
      async prepare() {
        const { bitmap } = findBitmap(graph, node, name);
        bitmap.check('modify');
        const before = bitmap.clear();
        undo = () => bitmap.restore(before);
      },
      async abort() {
        undo?.();
      },
    };
  },
});
