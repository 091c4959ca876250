/**
 * What Node throws, as operating errors. A code that the block layer has no name for becomes EIO and keeps its text;
 * anything that is not a system error is a bug and goes on.
 */
import { BlockError, type Errno, errnoNumbers } from '../../base/errors.ts';

interface SystemError extends Error {
  code?: unknown;
  errno?: unknown;
}

export function fromSystemError(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  if (!(error instanceof Error)) throw error;
  const { code, errno } = error as SystemError;
  // A name that the host cannot express at all, for instance one with a NUL in it.
  if (code === 'ERR_INVALID_ARG_VALUE') return new BlockError('EINVAL', undefined, { cause: error });
  if (typeof code !== 'string' || typeof errno !== 'number') throw error;
  if (code in errnoNumbers) return new BlockError(code as Errno, undefined, { cause: error });
  return new BlockError('EIO', textOf(error.message), { cause: error });
}

/** Whether a system call was only interrupted and is to be repeated. */
export function isInterrupted(error: unknown): boolean {
  return error instanceof Error && (error as SystemError).code === 'EINTR';
}

/** `EDQUOT: disk quota exceeded, write` → `disk quota exceeded`. */
function textOf(message: string): string {
  return /^\w+: (.*), \w+/.exec(message)?.[1] ?? message;
}
