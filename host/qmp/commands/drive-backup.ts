/** drive-backup: a transaction of one. */
import { driveBackup as action, driveBackupData } from '../actions/drive-backup.ts';
import { defineCommand } from '../command.ts';
import { runAction } from '../transaction.ts';

export const driveBackup = defineCommand({
  name: 'drive-backup',
  args: driveBackupData,
  async run(context, data) {
    await runAction(context, action, data);
    return {};
  },
});
