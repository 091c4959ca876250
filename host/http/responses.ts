/**
 * What the responses of web servers say: the state of a file, the range that comes, how long the file is, and whether a
 * failure may be gone the next time (RFC 9110).
 *
 * From another origin a page sees few headers. What is not there is undefined, and nothing is concluded from it.
 */
import { BlockError, type Errno, type FaultReason } from '../base/errors.ts';
import type { FetchResponse } from '../platform/platform.ts';

/** What tells one state of a file from another; a member is undefined when the server does not send it. */
export interface Validator {
  /** Without the mark of a weak one: servers add it when they compress, and drop it when they do not. */
  etag: string | undefined;
  modified: string | undefined;
}

export function validatorOf({ headers }: FetchResponse): Validator {
  return {
    etag: headers.get('etag')?.replace(/^W\//, ''),
    modified: headers.get('last-modified') ?? undefined,
  };
}

/** A failure that may be gone the next time. */
export class PassingFailure extends BlockError {
  constructor(
    message: string,
    reason: FaultReason,
    private readonly more: { errno?: Errno; isBusy?: boolean; retryAfter?: number | undefined } = {},
  ) {
    super(more.errno ?? 'EIO', message, { reason });
  }

  /** The server says itself that it will take requests again later. */
  get isBusy(): boolean {
    return this.more.isBusy ?? false;
  }

  /** Seconds: the server wants no request before. */
  get retryAfter(): number {
    return this.more.retryAfter ?? 0;
  }
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The server is busy or restarting, or one behind it is (520 to 524: Cloudflare's word for that). */
function isPassing(status: number): boolean {
  return [408, 425, 429, 500, 502, 503, 504].includes(status) || (status >= 520 && status <= 524);
}

const knownStatus: Readonly<Record<number, { errno: Errno; reason: FaultReason }>> = {
  401: { errno: 'EACCES', reason: 'access-denied' },
  403: { errno: 'EACCES', reason: 'access-denied' },
  404: { errno: 'ENOENT', reason: 'not-found' },
  410: { errno: 'ENOENT', reason: 'not-found' },
};

export function statusError(status: number): BlockError {
  const { errno, reason } = knownStatus[status] ?? { errno: 'EIO', reason: 'server-error' };
  return new BlockError(errno, statusText(status), { reason });
}

/** What it says if the server fails for now; else undefined. `nowSeconds`: since the Unix epoch. */
export function passingFailureOf(
  { status, headers }: Pick<FetchResponse, 'status' | 'headers'>,
  nowSeconds: number,
  message: string = statusText(status),
): PassingFailure | undefined {
  if (!isPassing(status)) return undefined;
  const retryAfter = retryAfterOf(headers.get('retry-after'), nowSeconds);
  const isBusy = status === 429 || status === 503;
  return new PassingFailure(message, 'server-error', { isBusy, retryAfter });
}

function statusText(status: number): string {
  return `The requested URL returned error: ${status}`;
}

/** Errors: EIO when what comes is not the bytes of the file: unpacked by the host, or in parts with headers of their own. */
export function checkBytes({ headers }: FetchResponse): void {
  const encoding = headers.get('content-encoding');
  if (isPacked(encoding)) throw notTheBytes('compresses what it sends', `Content-Encoding: ${encoding}`);
  const type = headers.get('content-type') ?? '';
  if (/^multipart\//i.test(type)) throw notTheBytes('sends a range in parts', `Content-Type: ${type}`);
}

function notTheBytes(does: string, header: string): BlockError {
  return new BlockError('EIO', `The server ${does} (${header}): these are not the bytes of the file`);
}

export function isPacked(encoding: string | null): boolean {
  return /\b(?:gzip|deflate|compress|br|zstd)\b/i.test(encoding ?? '');
}

/** Seconds, from a number of them or a date. */
function retryAfterOf(header: string | null, nowSeconds: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const date = Date.parse(header) / 1000;
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowSeconds);
}

/** A length in bytes. */
export function lengthOf({ headers }: Pick<FetchResponse, 'headers'>): number | undefined {
  return numberOf(headers.get('content-length'));
}

interface ContentRange {
  /** Undefined: none of the file comes. */
  first: number | undefined;
  last: number | undefined;
  /** Length of the whole file. */
  total: number | undefined;
}

/** `bytes 0-9/1000`, in which the length may be `*`, or the range. */
export function contentRangeOf({ headers }: Pick<FetchResponse, 'headers'>): ContentRange {
  const [, first, last, total] =
    /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(headers.get('content-range') ?? '') ?? [];
  return { first: numberOf(first), last: numberOf(last), total: numberOf(total) };
}

function numberOf(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
