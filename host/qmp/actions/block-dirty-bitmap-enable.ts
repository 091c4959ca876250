/** block-dirty-bitmap-enable: the bitmap records from now on. */
import { defineRecordingAction } from './bitmap-recording.ts';

export const blockDirtyBitmapEnable = defineRecordingAction('block-dirty-bitmap-enable', false);
