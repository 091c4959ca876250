/** blockdev-snapshot: a transaction of one. */
import { defineActionCommand } from '../action-command.ts';
import { blockdevSnapshot as action } from '../actions/blockdev-snapshot.ts';

export const blockdevSnapshot = defineActionCommand(action);
