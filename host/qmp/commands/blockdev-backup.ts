/** blockdev-backup: a transaction of one. */
import { defineActionCommand } from '../action-command.ts';
import { blockdevBackup as action } from '../actions/blockdev-backup.ts';

export const blockdevBackup = defineActionCommand(action);
