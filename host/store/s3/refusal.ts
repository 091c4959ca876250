/**
 * What an object store says when it does not do what it was asked for, and what that means: a status, a word for programs, a sentence
 * for people. Stores differ in the sentences, and some say nothing (specification: store, section 12).
 */
import { BlockError, type Errno } from '../../base/errors.ts';
import { PassingFailure, passingFailureOf } from '../../http/responses.ts';
import type { FetchResponse } from '../../platform/platform.ts';
import { textOf } from './xml.ts';

/** An answer that is a refusal. */
interface Refused {
  readonly response: Pick<FetchResponse, 'status' | 'headers'>;
  /** As much of it as is worth reading. */
  readonly body: string;
  /** Since the Unix epoch. */
  readonly nowSeconds: number;
  /** What is not to be repeated. */
  readonly secrets: readonly string[];
}

/** One that would be made again. */
export class Refusal extends BlockError {
  constructor(
    errno: Errno,
    message: string,
    /** The clock of the store, in seconds since the Unix epoch, when it says that ours is wrong. */
    readonly storeSeconds: number | undefined,
    /** Where the bucket is, when the request was signed for another region. */
    readonly region: string | undefined,
  ) {
    super(errno, message);
  }
}

/** The store will have time, or will have noticed, when it is asked again. */
const passing = new Set([
  'SlowDown',
  'RequestTimeout',
  'InternalError',
  'ServiceUnavailable',
  'Busy',
  'TooManyRequests',
  'OperationAborted',
  'IncompleteBody',
]);

const errnos: Readonly<Record<string, Errno>> = {
  QuotaExceeded: 'ENOSPC',
  XMinioStorageFull: 'ENOSPC',
  EntityTooLarge: 'EFBIG',
  InvalidRange: 'ERANGE',
  KeyTooLongError: 'ENAMETOOLONG',
  InvalidObjectName: 'ENAMETOOLONG',
};

const errnosByStatus: Readonly<Record<number, Errno>> = {
  401: 'EACCES',
  403: 'EACCES',
  404: 'ENOENT',
  412: 'EEXIST',
  416: 'ERANGE',
  507: 'ENOSPC',
};

const maxWords = 300;

export function refusalOf({ response, body, nowSeconds, secrets }: Refused): PassingFailure | Refusal {
  const { status, headers } = response;
  const code = textOf(body, 'Code')?.slice(0, maxWords);
  const sentence = textOf(body, 'Message') ?? '';
  const message = [
    `${code === undefined ? '' : `${code} `}(status ${status})`,
    sentence && `: ${sentence}`,
  ].join('');
  const words = withoutSecrets(message, secrets);
  const failure = passingFailureOf(response, nowSeconds, words);
  if (failure) return failure;
  if (code !== undefined && passing.has(code))
    return new PassingFailure(words, 'server-error', { isBusy: true });
  const errno = errnos[code ?? ''] ?? errnosByStatus[status] ?? 'EIO';
  const region = headers.get('x-amz-bucket-region') ?? textOf(body, 'Region');
  const isSkewed = code === 'RequestTimeTooSkewed' || code === 'RequestExpired';
  const date = Date.parse((isSkewed && headers.get('date')) || '') / 1000;
  return new Refusal(errno, words, Number.isNaN(date) ? undefined : date, region);
}

/** One line, and not a long one. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  const plain = secrets.reduce((left, secret) => left.replaceAll(secret, '…'), text);
  return plain
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, maxWords);
}
