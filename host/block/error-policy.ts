/**
 * What is done about an I/O error: jobs by on-error, devices by rerror and werror (specification: jobs, section 5; graph, section 9).
 */
import type { Errno } from '../base/errors.ts';
import { enumeration, type TypeOf } from '../qapi/types.ts';

export const onErrorType = enumeration('BlockdevOnError', ['report', 'ignore', 'enospc', 'stop', 'auto']);

export type OnError = TypeOf<typeof onErrorType>;

export type ErrorAction = 'report' | 'ignore' | 'stop';

export function errorAction(policy: OnError, errno: Errno): ErrorAction {
  if (policy === 'enospc' || policy === 'auto') return errno === 'ENOSPC' ? 'stop' : 'report';
  return policy;
}
