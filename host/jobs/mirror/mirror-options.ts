/** The arguments that drive-mirror and blockdev-mirror share (specification: jobs, section 8). */
import { onErrorType } from '../../block/error-policy.ts';
import { bool, enumeration, int64, optional, str, struct, type TypeOf, uint32 } from '../../qapi/types.ts';
import { mirrorSyncMode } from '../backup/options.ts';

export const mirrorCopyMode = enumeration('MirrorCopyMode', ['background', 'write-blocking']);

export const mirrorCommon = struct('MirrorCommon', {
  'job-id': optional(str),
  device: str,
  target: str,
  replaces: optional(str),
  sync: mirrorSyncMode,
  speed: optional(int64),
  granularity: optional(uint32),
  'buf-size': optional(int64),
  'on-source-error': optional(onErrorType),
  'on-target-error': optional(onErrorType),
  'copy-mode': optional(mirrorCopyMode),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
});

export type MirrorCommon = TypeOf<typeof mirrorCommon>;
