/**
 * x-query-block-failures: which devices had a request that failed since the machine was told to go on, and why. Ours:
 * QEMU's BLOCK_IO_ERROR has the name of the error number alone, which does not tell a full disk's owner what to do.
 */

import { faultReasons } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { array, bool, empty, enumeration, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const xQueryBlockFailures = defineCommand({
  name: 'x-query-block-failures',
  args: empty,
  returns: array(
    struct('BlockRequestFailure', {
      device: str,
      qdev: optional(str),
      'node-name': optional(str),
      /** Of the last one that has failed. */
      operation: enumeration('IoOperationType', ['read', 'write']),
      action: enumeration('BlockErrorAction', ['ignore', 'report', 'stop']),
      nospace: bool,
      /** What is the matter, where that is known. */
      reason: optional(enumeration('BlockFailureReason', faultReasons)),
      /** What each layer has to say, the outermost first. */
      message: str,
    }),
  ),
  run({ graph }) {
    return graph.backends.list().flatMap((backend) => {
      const { name, device, failure } = backend;
      if (!failure) return [];
      const { operation, action, error } = failure;
      return {
        device: name,
        ...withoutUndefined({ qdev: device?.name }),
        ...(backend.hasMedium ? { 'node-name': backend.node.name } : {}),
        operation,
        action,
        nospace: error.errno === 'ENOSPC',
        ...(error.reason ? { reason: error.reason } : {}),
        message: error.message,
      };
    });
  },
});
