/** The arguments of block-commit (specification: jobs, section 9). */
import { onErrorType } from '../../block/error-policy.ts';
import { bool, int64, optional, str, struct, type TypeOf } from '../../qapi/types.ts';

export const commitArguments = struct('BlockCommitArguments', {
  'job-id': optional(str),
  device: str,
  'base-node': optional(str),
  base: optional(str),
  'top-node': optional(str),
  top: optional(str),
  'backing-file': optional(str),
  'backing-mask-protocol': optional(bool),
  speed: optional(int64),
  'on-error': optional(onErrorType),
  'filter-node-name': optional(str),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
});

export type CommitArguments = TypeOf<typeof commitArguments>;
