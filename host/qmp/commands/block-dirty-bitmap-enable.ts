/** block-dirty-bitmap-enable: the bitmap records from now on. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapEnable as action } from '../actions/block-dirty-bitmap-enable.ts';

export const blockDirtyBitmapEnable = defineDirectCommand(action);
