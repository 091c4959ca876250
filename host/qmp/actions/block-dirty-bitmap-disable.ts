/** block-dirty-bitmap-disable: the bitmap records no more. */
import { defineRecordingAction } from './bitmap-recording.ts';

export const blockDirtyBitmapDisable = defineRecordingAction('block-dirty-bitmap-disable', true);
