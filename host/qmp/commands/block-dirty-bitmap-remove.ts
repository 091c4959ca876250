/** block-dirty-bitmap-remove: the bitmap is gone. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapRemove as action } from '../actions/block-dirty-bitmap-remove.ts';

export const blockDirtyBitmapRemove = defineDirectCommand(action);
