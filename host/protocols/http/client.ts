/**
 * One remote file over HTTP: how long it is, which state of it is there, and ranges of its bytes.
 *
 * The state is told by the validators that the server sends along (ETag, Last-Modified, length). They are compared
 * with every response rather than sent as conditions: a request across origins with If-Match would need the server's
 * consent. A file that changes while it is open gives errors from then on and never a mixture of two states.
 *
 * Lost connections and passing failures of the server are retried a few times; a request that takes longer than the
 * timeout is not.
 */
import { asBlockError, BlockError, type Errno, type FaultReason } from '../../base/errors.ts';
import type { Fetch, FetchRequest, FetchResponse, Platform } from '../../platform/platform.ts';

/** How often a request is made before its failure is one. */
export const maxAttempts = 3;
/** Before the second attempt; doubled before each further one. */
const retryDelayNs = 100_000_000;

const nsPerSecond = 1e9;

export interface ClientOptions {
  /** Of one attempt, body included. 0: none. */
  timeoutSeconds: number;
  /** Sent with each request. */
  headers: Readonly<Record<string, string>>;
}

/** What tells one state of the file from another; a member is undefined when the server does not send it. */
interface Validator {
  etag: string | undefined;
  modified: string | undefined;
}

/** A failure that may be gone the next time. */
class PassingFailure extends BlockError {
  constructor(message: string, reason: FaultReason) {
    super('EIO', message, { reason });
  }
}

export class HttpClient {
  /** Bytes. Known after `open`. */
  length = 0;
  validator: Validator = { etag: undefined, modified: undefined };

  private readonly fetch: Fetch;
  private readonly ending = new AbortController();
  private readonly unfinished = new Set<Promise<unknown>>();

  constructor(
    private readonly platform: Platform,
    readonly url: string,
    private readonly options: ClientOptions,
  ) {
    if (!platform.fetch) throw new BlockError('ENOTSUP', 'This host cannot make HTTP requests');
    this.fetch = platform.fetch;
  }

  /** Looks at the file. Errors: why it cannot be reached, or not be read in ranges. */
  async open(): Promise<void> {
    const head = await this.attempts('HEAD', {}, async (response) => response);
    const ranges = head.headers.get('accept-ranges')?.toLowerCase();
    const encoding = head.headers.get('content-encoding') ?? 'identity';
    if (isSuccess(head.status) && ranges === 'bytes' && encoding === 'identity') {
      const length = numberOf(head.headers.get('content-length'));
      if (length === undefined) throw noLength();
      this.remember(head, length);
      return;
    }
    if (isSuccess(head.status) && ranges === 'none') throw noRanges();
    await this.tryRange(isSuccess(head.status) ? numberOf(head.headers.get('content-length')) : undefined);
  }

  /** For servers that refuse HEAD, and those whose answer to it does not tell. */
  private async tryRange(headLength: number | undefined): Promise<void> {
    // Past the end by one: an answer of one byte proves the length, even when Content-Range is hidden from us, as it is
    // from other origins. What HEAD told may be the length of something compressed.
    const first = headLength ? headLength - 1 : 0;
    const range = `bytes=${first}-${headLength ?? 0}`;
    const answer = await this.attempts('GET', { range }, async (response) => ({
      response,
      bytes: response.status === 206 ? (await bodyOf(response)).byteLength : 0,
    }));
    const { response, bytes } = answer;
    const total = totalOf(response.headers.get('content-range'));
    if (response.status === 416 && (total ?? headLength) === 0) {
      this.remember(response, 0);
      return;
    }
    if (response.status === 416 && total !== undefined && total !== headLength) return this.tryRange(total);
    if (response.status === 416 && first > 0) throw noLength();
    if (!isSuccess(response.status)) throw statusError(response.status);
    if (response.status !== 206) throw noRanges();
    const length = total ?? (bytes === 1 ? headLength : undefined);
    if (length === undefined) throw noLength();
    this.remember(response, length);
  }

  private remember(response: FetchResponse, length: number): void {
    this.length = length;
    this.validator = validatorOf(response);
  }

  /** A name for this state of the file, or undefined when nothing would tell it from the next one. */
  get stateName(): string | undefined {
    const { etag, modified } = this.validator;
    if (etag === undefined && modified === undefined) return undefined;
    return JSON.stringify([this.url, this.length, etag ?? null, modified ?? null]);
  }

  /** The bytes of a range within the file. Errors: EIO. */
  async read(offset: number, bytes: number): Promise<Uint8Array> {
    const last = offset + bytes - 1;
    try {
      return await this.attempts('GET', { range: `bytes=${offset}-${last}` }, async (response) => {
        this.checkState(response);
        if (response.status === 200) throw anotherFile("Server does not support 'range' any more");
        if (response.status !== 206) throw statusError(response.status);
        const body = new Uint8Array(await bodyOf(response));
        if (body.length < bytes)
          throw new PassingFailure(`Got ${body.length} of ${bytes} bytes`, 'unreachable');
        const start = startOf(response.headers.get('content-range')) ?? offset;
        if (body.length > bytes || start !== offset) throw anotherFile('Got another range');
        return body;
      });
    } catch (error) {
      throw asBlockError(error).within(this.url);
    }
  }

  /** A whole small file of at most `maxBytes`. */
  async readWhole(maxBytes: number): Promise<Uint8Array> {
    return this.attempts('GET', {}, async (response) => {
      if (response.status !== 200) throw statusError(response.status);
      const length = numberOf(response.headers.get('content-length')) ?? 0;
      const body = length > maxBytes ? undefined : await bodyOf(response);
      if (!body || body.byteLength > maxBytes) throw new BlockError('EFBIG');
      return new Uint8Array(body);
    });
  }

  private checkState(response: FetchResponse): void {
    if (response.status === 416) throw changed(`its length is not ${this.length} any more`);
    if (!isSuccess(response.status)) return;
    const total = totalOf(response.headers.get('content-range'));
    if (total !== undefined && total !== this.length)
      throw changed(`its length was ${this.length} and is ${total}`);
    const now = validatorOf(response);
    for (const [name, before, after] of [
      ['ETag', this.validator.etag, now.etag],
      ['Last-Modified', this.validator.modified, now.modified],
    ] as const) {
      if (before !== undefined && after !== undefined && before !== after)
        throw changed(`its ${name} was ${before} and is ${after}`);
    }
  }

  private async attempts<T>(
    method: FetchRequest['method'],
    headers: Readonly<Record<string, string>>,
    take: (response: FetchResponse) => Promise<T>,
  ): Promise<T> {
    const request = this.retried(() => this.attempt(method, headers, take));
    this.unfinished.add(request);
    try {
      return await request;
    } finally {
      this.unfinished.delete(request);
    }
  }

  private async retried<T>(attempt: () => Promise<T>): Promise<T> {
    for (let count = 1; ; count++) {
      try {
        return await attempt();
      } catch (error) {
        const mayPass = error instanceof PassingFailure && count < maxAttempts;
        if (!mayPass || this.ending.signal.aborted) throw error;
      }
      await this.pause(retryDelayNs * 2 ** (count - 1));
    }
  }

  /** Cut short by `close`. */
  private pause(delayNs: number): Promise<void> {
    const { signal } = this.ending;
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.platform.clock.setTimer(delayNs, end);
      signal.addEventListener('abort', end);
    });
  }

  private async attempt<T>(
    method: FetchRequest['method'],
    headers: Readonly<Record<string, string>>,
    take: (response: FetchResponse) => Promise<T>,
  ): Promise<T> {
    const { timeoutSeconds } = this.options;
    const stop = new AbortController();
    let isLate = false;
    const timer =
      timeoutSeconds > 0
        ? this.platform.clock.setTimer(timeoutSeconds * nsPerSecond, () => {
            isLate = true;
            stop.abort();
          })
        : undefined;
    const end = (): void => stop.abort();
    this.ending.signal.addEventListener('abort', end);
    try {
      if (this.ending.signal.aborted) throw new BlockError('ECANCELED');
      // Not called as a method: browsers' own fetch refuses that.
      const { fetch } = this;
      const response = await fetch(this.url, {
        method,
        // A compressed body would be another than the file, and so are its ranges.
        headers: { ...this.options.headers, 'accept-encoding': 'identity', ...headers },
        cache: 'no-store',
        signal: stop.signal,
      });
      if (isPassing(response.status)) throw new PassingFailure(statusText(response.status), 'server-error');
      return await take(response);
    } catch (error) {
      if (isLate)
        throw new BlockError('ETIMEDOUT', `Operation timed out after ${timeoutSeconds * 1000} milliseconds`, {
          reason: 'unreachable',
        });
      if (this.ending.signal.aborted) throw new BlockError('ECANCELED');
      if (error instanceof BlockError) throw error;
      throw new PassingFailure(
        (error instanceof Error ? error.message : String(error)).trim(),
        'unreachable',
      );
    } finally {
      timer?.cancel();
      this.ending.signal.removeEventListener('abort', end);
      // Nothing of the body is wanted that has not been taken.
      stop.abort();
    }
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.ending.abort();
    await Promise.allSettled(this.unfinished);
  }
}

/** A body that breaks off is a lost connection. */
async function bodyOf(response: FetchResponse): Promise<ArrayBuffer> {
  return response.arrayBuffer();
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** The server is busy or restarting, or what it asks is. */
function isPassing(status: number): boolean {
  return [408, 429, 500, 502, 503, 504].includes(status);
}

const knownStatus: Readonly<Record<number, { errno: Errno; reason: FaultReason }>> = {
  401: { errno: 'EACCES', reason: 'access-denied' },
  403: { errno: 'EACCES', reason: 'access-denied' },
  404: { errno: 'ENOENT', reason: 'not-found' },
  410: { errno: 'ENOENT', reason: 'not-found' },
};

function statusError(status: number): BlockError {
  const { errno, reason } = knownStatus[status] ?? { errno: 'EIO', reason: 'server-error' };
  return new BlockError(errno, statusText(status), { reason });
}

function statusText(status: number): string {
  return `The requested URL returned error: ${status}`;
}

function noRanges(): BlockError {
  return new BlockError('EIO', "Server does not support 'range' (byte ranges).");
}

function noLength(): BlockError {
  return new BlockError('EIO', "Server didn't report file size.");
}

function changed(how: string): BlockError {
  return anotherFile(`The file on the server has changed: ${how}`);
}

/** What comes is not the file that was opened. */
function anotherFile(message: string): BlockError {
  return new BlockError('EIO', message, { reason: 'content-changed' });
}

function validatorOf({ headers }: FetchResponse): Validator {
  return {
    etag: headers.get('etag') ?? undefined,
    modified: headers.get('last-modified') ?? undefined,
  };
}

function numberOf(text: string | null | undefined): number | undefined {
  return text != null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** `bytes 0-9/1000`, in which the length may be `*`. */
const contentRange = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/;

function totalOf(header: string | null): number | undefined {
  return numberOf(contentRange.exec(header ?? '')?.[2]);
}

function startOf(header: string | null): number | undefined {
  return numberOf(contentRange.exec(header ?? '')?.[1]);
}
