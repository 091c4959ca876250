/** blockdev-snapshot: a transaction of one. */
import { blockdevSnapshot as action, blockdevSnapshotData } from '../actions/blockdev-snapshot.ts';
import { defineCommand } from '../command.ts';
import { runAction } from '../transaction.ts';

export const blockdevSnapshot = defineCommand({
  name: 'blockdev-snapshot',
  args: blockdevSnapshotData,
  async run(context, data) {
    await runAction(context, action, data);
    return {};
  },
});
