/** block-dirty-bitmap-disable: the bitmap records no more. */
import { bitmapData } from '../actions/bitmap-data.ts';
import { blockDirtyBitmapDisable as action } from '../actions/block-dirty-bitmap-disable.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapDisable = defineCommand({
  name: 'block-dirty-bitmap-disable',
  args: bitmapData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
