/** block-dirty-bitmap-add: a new bitmap that records which parts of a node are written to. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapAdd as action } from '../actions/block-dirty-bitmap-add.ts';

export const blockDirtyBitmapAdd = defineDirectCommand(action);
