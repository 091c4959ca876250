/** blockdev-snapshot-sync: a transaction of one. */
import {
  blockdevSnapshotSync as action,
  blockdevSnapshotSyncData,
} from '../actions/blockdev-snapshot-sync.ts';
import { defineCommand } from '../command.ts';
import { runAction } from '../transaction.ts';

export const blockdevSnapshotSync = defineCommand({
  name: 'blockdev-snapshot-sync',
  args: blockdevSnapshotSyncData,
  async run(context, data) {
    await runAction(context, action, data);
    return {};
  },
});
