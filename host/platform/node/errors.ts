/**
 * What Node throws, as operating errors. A code that the block layer has no name for becomes EIO and keeps its text;
 * anything that is not a system error is a bug and goes on.
 */
import { BlockError, type Errno, errnoNumbers } from '../../base/errors.ts';

interface SystemError extends Error {
  code?: unknown;
  errno?: unknown;
}

/** What Node throws for what its permission model does not let a program do. */
interface DeniedError extends Error {
  permission?: string;
  resource?: string;
}

/** The flag of Node that would allow it. */
const allowingFlags: Readonly<Record<string, string>> = {
  FileSystemRead: '--allow-fs-read',
  FileSystemWrite: '--allow-fs-write',
  ChildProcess: '--allow-child-process',
  WorkerThreads: '--allow-worker',
};

/** Undefined when it is something else than a refusal of Node's permission model. */
export function fromDenial(error: unknown): BlockError | undefined {
  if (!(error instanceof Error) || (error as SystemError).code !== 'ERR_ACCESS_DENIED') return undefined;
  const { permission = '', resource = '', message } = error as DeniedError;
  const flag = allowingFlags[permission];
  const missing = `Node runs without ${flag}${resource === '' ? '' : `=${resource}`}`;
  return new BlockError('EACCES', `Permission denied (${flag === undefined ? message : missing})`, {
    cause: error,
  });
}

export function fromSystemError(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  if (!(error instanceof Error)) throw error;
  const denial = fromDenial(error);
  if (denial) return denial;
  const { code, errno } = error as SystemError;
  // A name that the host cannot express at all, for instance one with a NUL in it.
  if (code === 'ERR_INVALID_ARG_VALUE') return new BlockError('EINVAL', undefined, { cause: error });
  if (typeof code !== 'string' || typeof errno !== 'number') throw error;
  if (code in errnoNumbers) return new BlockError(code as Errno, undefined, { cause: error });
  return new BlockError('EIO', otherTexts[code] ?? textOf(error.message), { cause: error });
}

/** What strerror says about errors that only sockets have. */
const otherTexts: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  ENOTFOUND: 'Name or service not known',
  EAI_AGAIN: 'Temporary failure in name resolution',
};

/** Whether a system call was only interrupted and is to be repeated. */
export function isInterrupted(error: unknown): boolean {
  return error instanceof Error && (error as SystemError).code === 'EINTR';
}

/** `EDQUOT: disk quota exceeded, write` → `disk quota exceeded`. */
function textOf(message: string): string {
  return /^\w+: (.*), \w+/.exec(message)?.[1] ?? message;
}

/** One call of the callback API as a promise with operating errors. */
export function call<T = void>(
  start: (callback: (error: Error | null | undefined, value?: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    try {
      start((error, value) => (error ? reject(asRejection(error)) : resolve(value as T)));
    } catch (error) {
      reject(asRejection(error));
    }
  });
}

/** In a callback nothing may be thrown: a bug rejects as itself. */
export function asRejection(error: unknown): unknown {
  try {
    return fromSystemError(error);
  } catch (bug) {
    return bug;
  }
}
