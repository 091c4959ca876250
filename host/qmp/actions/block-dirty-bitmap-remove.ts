/**
 * block-dirty-bitmap-remove: busy from `prepare` on, gone with `commit`. What is stored of it goes in `prepare` already,
 * which can fail; after an abort it is stored again when the node closes.
 */
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
        here.bitmap.skipStore = true;
        found = here;
        await bitmapsOf(here.node).removeStored(here.bitmap);
      },
      commit() {
        if (found) bitmapsOf(found.node).remove(found.bitmap);
      },
      async abort() {
        if (!found) return;
        found.bitmap.busy = false;
        found.bitmap.skipStore = false;
      },
    };
  },
});
