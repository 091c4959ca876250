/** block-dirty-bitmap-remove: the bitmap is gone. */
import { bitmapData } from '../actions/bitmap-data.ts';
import { blockDirtyBitmapRemove as action } from '../actions/block-dirty-bitmap-remove.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapRemove = defineCommand({
  name: 'block-dirty-bitmap-remove',
  args: bitmapData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
