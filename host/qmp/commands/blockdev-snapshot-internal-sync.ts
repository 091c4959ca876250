/** blockdev-snapshot-internal-sync: a transaction of one. */
import { defineActionCommand } from '../action-command.ts';
import { blockdevSnapshotInternalSync as action } from '../actions/blockdev-snapshot-internal-sync.ts';

export const blockdevSnapshotInternalSync = defineActionCommand(action);
