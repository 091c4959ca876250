/** drive-backup: a transaction of one. */
import { defineActionCommand } from '../action-command.ts';
import { driveBackup as action } from '../actions/drive-backup.ts';

export const driveBackup = defineActionCommand(action);
