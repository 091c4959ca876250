/** blockdev-snapshot-internal-sync: a transaction of one. */
import {
  blockdevSnapshotInternalSync as action,
  internalSnapshotData,
} from '../actions/blockdev-snapshot-internal-sync.ts';
import { defineCommand } from '../command.ts';
import { runAction } from '../transaction.ts';

export const blockdevSnapshotInternalSync = defineCommand({
  name: 'blockdev-snapshot-internal-sync',
  args: internalSnapshotData,
  async run(context, data) {
    await runAction(context, action, data);
    return {};
  },
});
