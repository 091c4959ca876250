/** block-dirty-bitmap-enable: the bitmap records from now on. */
import type { DirtyBitmap } from '../../bitmaps/dirty-bitmap.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { defineAction } from './action.ts';
import { bitmapData } from './bitmap-data.ts';

export const blockDirtyBitmapEnable = defineAction({
  type: 'block-dirty-bitmap-enable',
  data: bitmapData,
  supportsGrouped: false,
  create({ graph }, { node, name }) {
    let changed: { bitmap: DirtyBitmap; disabled: boolean } | undefined;
    return {
      async prepare() {
        const { bitmap } = findBitmap(graph, node, name);
        bitmap.check('toggle');
        changed = { bitmap, disabled: bitmap.disabled };
        bitmap.disabled = false;
      },
      async abort() {
        if (changed) changed.bitmap.disabled = changed.disabled;
      },
    };
  },
});
