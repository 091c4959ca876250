/** What the browser's storage throws, as operating errors. Anything that it does not throw by design is a bug and goes on. */
import { BlockError, type Errno } from '../../base/errors.ts';

const errnoByName: Record<string, Errno> = {
  NotFoundError: 'ENOENT',
  NotAllowedError: 'EACCES',
  SecurityError: 'EACCES',
  QuotaExceededError: 'ENOSPC',
  NotReadableError: 'EIO',
  // The handle was closed, or its file was removed, under us.
  InvalidStateError: 'EIO',
};

export function fromDomException(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  if (!(error instanceof DOMException)) throw error;
  const errno = errnoByName[error.name];
  if (errno) return new BlockError(errno, undefined, { cause: error });
  return new BlockError('EIO', error.message, { cause: error });
}
