/**
 * Operating errors: what can go wrong while everything works as designed.
 *
 * A `BlockError` carries the errno that a guest or a policy decides on, the QMP class that a client sees, and a
 * message in the words a QEMU user knows. Each layer may put its context in front (`error.within('Could not open …')`).
 * Bugs are not operating errors: those fail an assertion (assert.ts).
 */
import { withoutUndefined } from './without-undefined.ts';

/** Linux errno values of every error the block layer raises. */
export const errnoNumbers = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ELOOP: 40,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECANCELED: 125,
  ENOMEDIUM: 123,
} as const;

/** The name of an operating error, as errno(3) has it. */
export type Errno = keyof typeof errnoNumbers;

const messages: Record<Errno, string> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  E2BIG: 'Argument list too long',
  EBADF: 'Bad file descriptor',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  EMFILE: 'Too many open files',
  EFBIG: 'File too large',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EPIPE: 'Broken pipe',
  ERANGE: 'Numerical result out of range',
  ENAMETOOLONG: 'File name too long',
  ELOOP: 'Too many levels of symbolic links',
  EOVERFLOW: 'Value too large for defined data type',
  ENOTSUP: 'Operation not supported',
  ESHUTDOWN: 'Cannot send after transport endpoint shutdown',
  ETIMEDOUT: 'Connection timed out',
  ECANCELED: 'Operation canceled',
  ENOMEDIUM: 'No medium found',
};

/** What strerror(3) says, for instance `No space left on device`. */
export function strerror(errno: Errno): string {
  return messages[errno];
}

/** QMP error classes (specification: qmp-protocol, section 3). */
export type ErrorClass = 'GenericError' | 'CommandNotFound' | 'DeviceNotActive' | 'DeviceNotFound';

/** What is the matter with what an image is kept in, where the errno does not tell: people can do something about it. */
export const faultReasons = [
  /** A server has another file now than the one that was opened. */
  'content-changed',
  /** A file that was chosen in the page was changed, moved or deleted since. */
  'file-changed',
  /** A server does not have the file any more. */
  'not-found',
  'access-denied',
  /** A server answers with an error of its own. */
  'server-error',
  /** A server does not answer, or a connection to it breaks off. */
  'unreachable',
] as const;

export type FaultReason = (typeof faultReasons)[number];

interface BlockErrorOptions {
  class?: ErrorClass;
  reason?: FaultReason | undefined;
  /** Further lines that a command-line tool prints after the message; never part of a QMP answer. */
  hint?: string;
  cause?: unknown;
}

/** An operating error: what failed, by errno and QMP class, in words for people. Anything else that is thrown is a bug. */
export class BlockError extends Error {
  override readonly name = 'BlockError';
  readonly class: ErrorClass;
  readonly hint: string | undefined;
  readonly reason: FaultReason | undefined;

  /** `message` defaults to what strerror says about `errno`. */
  constructor(
    readonly errno: Errno,
    message: string = strerror(errno),
    options: BlockErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.class = options.class ?? 'GenericError';
    this.hint = options.hint;
    this.reason = options.reason;
  }

  /** The same error seen from one layer up: `CONTEXT: MESSAGE`. */
  within(context: string): BlockError {
    return new BlockError(this.errno, `${context}: ${this.message}`, {
      class: this.class,
      cause: this,
      reason: this.reason,
      ...withoutUndefined({ hint: this.hint }),
    });
  }
}

/** An error with only a text, the most common kind in QMP answers. */
export function invalid(message: string, hint?: string): BlockError {
  return new BlockError('EINVAL', message, withoutUndefined({ hint }));
}

/** Narrows what a `catch` got to an operating error; anything else is a bug and goes on. */
export function asBlockError(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  throw error;
}
