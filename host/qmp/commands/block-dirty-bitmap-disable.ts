/** block-dirty-bitmap-disable: the bitmap records no more. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapDisable as action } from '../actions/block-dirty-bitmap-disable.ts';

export const blockDirtyBitmapDisable = defineDirectCommand(action);
