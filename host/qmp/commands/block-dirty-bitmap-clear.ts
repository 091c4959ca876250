/** block-dirty-bitmap-clear: forgets what was recorded so far. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapClear as action } from '../actions/block-dirty-bitmap-clear.ts';

export const blockDirtyBitmapClear = defineDirectCommand(action);
