/** blockdev-backup: a transaction of one. */
import { blockdevBackup as action, blockdevBackupData } from '../actions/blockdev-backup.ts';
import { defineCommand } from '../command.ts';
import { runAction } from '../transaction.ts';

export const blockdevBackup = defineCommand({
  name: 'blockdev-backup',
  args: blockdevBackupData,
  async run(context, data) {
    await runAction(context, action, data);
    return {};
  },
});
