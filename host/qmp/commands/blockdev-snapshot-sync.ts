/** blockdev-snapshot-sync: a transaction of one. */
import { defineActionCommand } from '../action-command.ts';
import { blockdevSnapshotSync as action } from '../actions/blockdev-snapshot-sync.ts';

export const blockdevSnapshotSync = defineActionCommand(action);
