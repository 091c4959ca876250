/** block-dirty-bitmap-add: a new bitmap; taken away again when the transaction fails. */
import type { DirtyBitmap } from '../../bitmaps/dirty-bitmap.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import { bool, optional, str, struct, uint32 } from '../../qapi/types.ts';
import { defineAction } from './action.ts';

const bitmapAddData = struct('BlockDirtyBitmapAdd', {
  node: str,
  name: str,
  granularity: optional(uint32),
  persistent: optional(bool),
  disabled: optional(bool),
});

export const blockDirtyBitmapAdd = defineAction({
  type: 'block-dirty-bitmap-add',
  data: bitmapAddData,
  supportsGrouped: false,
  create({ graph }, { node: nodeName, name, ...options }) {
    let added: { bitmap: DirtyBitmap; from: ReturnType<typeof bitmapsOf> } | undefined;
    return {
      async prepare() {
        const from = bitmapsOf(graph.lookup(nodeName, nodeName));
        added = { bitmap: from.add(name, options), from };
      },
      async abort() {
        added?.from.remove(added.bitmap);
      },
    };
  },
});
