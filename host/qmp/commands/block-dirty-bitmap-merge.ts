/** block-dirty-bitmap-merge: adds what other bitmaps have recorded. */
import { defineDirectCommand } from '../action-command.ts';
import { blockDirtyBitmapMerge as action } from '../actions/block-dirty-bitmap-merge.ts';

export const blockDirtyBitmapMerge = defineDirectCommand(action);
