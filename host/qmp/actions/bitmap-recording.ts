/** Turning the recording of a dirty bitmap on and off: what the enable and disable actions share. */
import type { DirtyBitmap } from '../../bitmaps/dirty-bitmap.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { defineAction } from './action.ts';
import { bitmapData } from './bitmap-data.ts';

export function defineRecordingAction(type: string, disabled: boolean) {
  return defineAction({
    type,
    data: bitmapData,
    supportsGrouped: false,
    create({ graph }, { node, name }) {
      let changed: { bitmap: DirtyBitmap; disabled: boolean } | undefined;
      return {
        async prepare() {
          const { bitmap } = findBitmap(graph, node, name);
          bitmap.check('toggle');
          changed = { bitmap, disabled: bitmap.disabled };
          bitmap.disabled = disabled;
        },
        async abort() {
          if (changed) changed.bitmap.disabled = changed.disabled;
        },
      };
    },
  });
}
