/** block-dirty-bitmap-merge: adds what other bitmaps have recorded. */
import { blockDirtyBitmapMerge as action, bitmapMergeData } from '../actions/block-dirty-bitmap-merge.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapMerge = defineCommand({
  name: 'block-dirty-bitmap-merge',
  args: bitmapMergeData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
