/** block-dirty-bitmap-remove: busy from `prepare` on, gone with `commit`. */
import { bitmapsOf, findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { defineAction } from './action.ts';
import { bitmapData } from './bitmap-data.ts';

export const blockDirtyBitmapRemove = defineAction({
  type: 'block-dirty-bitmap-remove',
  data: bitmapData,
  supportsGrouped: false,
  create({ graph }, given) {
    let found: ReturnType<typeof findBitmap> | undefined;
    return {
      async prepare() {
        const here = findBitmap(graph, given.node, given.name);
        here.bitmap.check('remove');
        here.bitmap.busy = true;
        found = here;
      },
      commit() {
        if (found) bitmapsOf(found.node).remove(found.bitmap);
      },
      async abort() {
        if (found) found.bitmap.busy = false;
      },
    };
  },
});
