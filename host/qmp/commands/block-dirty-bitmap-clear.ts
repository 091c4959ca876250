/** block-dirty-bitmap-clear: forgets what was recorded so far. */
import { bitmapData } from '../actions/bitmap-data.ts';
import { blockDirtyBitmapClear as action } from '../actions/block-dirty-bitmap-clear.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapClear = defineCommand({
  name: 'block-dirty-bitmap-clear',
  args: bitmapData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
