/** The arguments of block-stream (specification: jobs, section 10). */
import { onErrorType } from '../../block/error-policy.ts';
import { bool, int64, optional, str, struct, type TypeOf } from '../../qapi/types.ts';

export const streamArguments = struct('BlockStreamArguments', {
  'job-id': optional(str),
  device: str,
  base: optional(str),
  'base-node': optional(str),
  'backing-file': optional(str),
  'backing-mask-protocol': optional(bool),
  bottom: optional(str),
  speed: optional(int64),
  'on-error': optional(onErrorType),
  'filter-node-name': optional(str),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
});

export type StreamArguments = TypeOf<typeof streamArguments>;
