/** block-dirty-bitmap-enable: the bitmap records from now on. */
import { bitmapData } from '../actions/bitmap-data.ts';
import { blockDirtyBitmapEnable as action } from '../actions/block-dirty-bitmap-enable.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapEnable = defineCommand({
  name: 'block-dirty-bitmap-enable',
  args: bitmapData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
