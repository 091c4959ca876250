/** block-dirty-bitmap-add: a new bitmap that records which parts of a node are written to. */
import { blockDirtyBitmapAdd as action, bitmapAddData } from '../actions/block-dirty-bitmap-add.ts';
import { defineCommand } from '../command.ts';
import { runDirectly } from '../transaction.ts';

export const blockDirtyBitmapAdd = defineCommand({
  name: 'block-dirty-bitmap-add',
  args: bitmapAddData,
  async run(context, data) {
    await runDirectly(context, action, data);
    return {};
  },
});
