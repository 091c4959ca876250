/**
 * One remote file over HTTP: how long it is, which state of it is there, and ranges of its bytes.
 *
 * The state is told by the validators that the server sends along (ETag, Last-Modified, length). They are compared
 * with every response rather than sent as conditions: a request across origins with If-Match would need the server's
 * consent. A file that changes while it is open gives errors from then on and never a mixture of two states.
 *
 * Bytes are handed on as they come, so an answer is never in memory as a whole, and one that is not what was asked for is
 * dropped when its head shows it. Passing failures are tried again (http/retry.ts), from the byte that is missing. The timeout is
 * for a server that sends nothing; one that sends slowly has all the time it takes.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import {
  collected,
  type Request,
  type RequestOptions,
  Requests,
  type Take,
  usualSeconds,
} from '../../http/requests.ts';
import {
  checkBytes,
  contentRangeOf,
  isPacked,
  isSuccess,
  lengthOf,
  PassingFailure,
  passingFailureOf,
  statusError,
  type Validator,
  validatorOf,
} from '../../http/responses.ts';
import type { FetchResponse, Platform } from '../../platform/platform.ts';
import { Line } from './line.ts';

/** How often a request is made when a file is opened, unless the server says that it is busy. */
export const maxOpenAttempts = 3;
/** Less than this, unless it is all that was left, does not count as progress. */
const leastProgress = 4096;

/** A request of the one file that there is. */
type FileRequest = Omit<Request, 'url'>;

export class HttpClient {
  /** Bytes. Known after `open`. */
  length = 0;
  validator: Validator = { etag: undefined, modified: undefined };
  readonly line: Line;
  private readonly requests: Requests;

  /** `onTrouble`: see Requests. */
  constructor(
    private readonly platform: Platform,
    readonly url: string,
    private readonly options: RequestOptions,
    onTrouble: Requests['onTrouble'] = () => {},
  ) {
    this.requests = new Requests(platform, options, onTrouble);
    this.line = new Line(platform.clock);
  }

  /**
   * Looks at the file: that a range of it comes proves that ranges do, and tells the length. Where that is hidden, as it is
   * from other origins, lengths are believed that are told otherwise and hold. Errors: why the file cannot be reached, or not
   * be read in ranges.
   */
  async open(): Promise<void> {
    const { response } = await this.ask(0, 0);
    const { status } = response;
    const { total } = contentRangeOf(response);
    // Servers differ in what they say to a range of a file without bytes.
    const isEmpty = status === 416 ? !total : status === 200 && lengthOf(response) === 0;
    if (isEmpty) return this.remember(response, 0);
    if (!isSuccess(status) && status !== 416) throw statusError(status);
    if (status !== 206) throw new BlockError('EIO', "Server does not support 'range' (byte ranges).");
    checkBytes(response);
    const length = total ?? (await this.findLength());
    if (length === undefined) throw new BlockError('EIO', "Server didn't report file size.");
    this.remember(response, length);
  }

  private async findLength(): Promise<number | undefined> {
    for (const method of ['HEAD', 'GET'] as const) {
      const length = await this.hint(method);
      if (length === undefined || length === 0) continue;
      // Past the end by one: an answer of one byte proves it.
      const { response, bytes } = await this.ask(length - 1, length);
      if (response.status === 206 && bytes === 1) return length;
    }
    return undefined;
  }

  /** What a server says that may refuse the question. */
  private async hint(method: Request['method']): Promise<number | undefined> {
    const timeoutSeconds = Math.min(usualSeconds, this.options.timeoutSeconds || usualSeconds);
    try {
      return await this.attempt({ method, headers: {}, timeoutSeconds }, async (response) =>
        isSuccess(response.status) && !isPacked(response.headers.get('content-encoding'))
          ? lengthOf(response)
          : undefined,
      );
    } catch (error) {
      if (this.requests.isClosed) throw error;
      return undefined;
    }
  }

  /** A range, of which only the number of bytes counts: 0 to 2, which is more than can be. */
  private ask(first: number, last: number): Promise<{ response: FetchResponse; bytes: number }> {
    const request = { method: 'GET', headers: { range: `bytes=${first}-${last}` } } as const;
    return this.openingly(request, async (response, eachPiece) => {
      let bytes = 0;
      if (response.status === 206) {
        await eachPiece((piece) => {
          bytes = Math.min(2, bytes + piece.length);
          return bytes < 2;
        });
      }
      return { response, bytes };
    });
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

  get isInTrouble(): boolean {
    return this.requests.isInTrouble;
  }

  /** Hands the bytes of a range within the file to `take`, in their order, as they come. Errors: EIO, ETIMEDOUT. */
  async read(offset: number, bytes: number, take: (piece: Uint8Array) => void): Promise<void> {
    const end = offset + bytes;
    let at = offset;
    try {
      await this.requests.persist(async (progressed) => {
        // Servers may send less than was asked for.
        while (at < end) {
          const from = at;
          await this.readOnce(from, end, (piece) => {
            at += piece.length;
            if (at - from >= leastProgress || at === end) progressed();
            take(piece);
          });
        }
      });
    } catch (error) {
      // What comes after the last byte is nobody's trouble.
      if (at < end || !(error instanceof PassingFailure)) throw asBlockError(error).within(this.url);
    }
  }

  private async readOnce(from: number, end: number, take: (piece: Uint8Array) => void): Promise<void> {
    const flight = this.line.begin(end - from);
    let at = from;
    try {
      const headers = { range: `bytes=${from}-${end - 1}` };
      const { queueNs } = flight;
      await this.attempt({ method: 'GET', headers, queueNs }, async (response, eachPiece) => {
        flight.answered();
        this.checkRange(response, from, end);
        await eachPiece((piece) => {
          if (at + piece.length > end) throw anotherRange();
          at += piece.length;
          flight.arrived(piece.length);
          take(piece);
          return true;
        });
      });
      flight.landed();
    } finally {
      flight.end();
    }
    if (at - from < Math.min(leastProgress, end - from))
      throw new PassingFailure(`Got ${at - from} of ${end - from} bytes`, 'unreachable');
  }

  /** What the head of a response says about the range that was asked for. */
  private checkRange(response: FetchResponse, from: number, end: number): void {
    const { status } = response;
    this.checkState(response);
    if (status === 200) throw this.withoutRange(response);
    if (status !== 206) throw statusError(status);
    checkBytes(response);
    const { first = from, last = from } = contentRangeOf(response);
    if (first !== from || last >= end || (lengthOf(response) ?? 0) > end - from) throw anotherRange();
  }

  /** Caches in front of servers answer so now and then; of the same file, that passes. */
  private withoutRange(response: FetchResponse): BlockError {
    const message = "Server does not support 'range' any more";
    const { etag } = this.validator;
    const isSame = etag !== undefined && validatorOf(response).etag === etag;
    return isSame ? new PassingFailure(message, 'server-error') : anotherFile(message);
  }

  private checkState(response: FetchResponse): void {
    if (response.status === 416) throw changed(`its length is not ${this.length} any more`);
    if (!isSuccess(response.status)) return;
    const { total } = contentRangeOf(response);
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

  /** A whole small file of at most `maxBytes`. Errors: EFBIG, or why it cannot be had. */
  readWhole(maxBytes: number): Promise<Uint8Array> {
    return this.openingly({ method: 'GET', headers: {} }, async (response, eachPiece) => {
      if (response.status !== 200) throw statusError(response.status);
      return collected(eachPiece, maxBytes);
    });
  }

  /** While a file is opened, nobody is to wait long for what a wrong address may be the cause of. */
  private openingly<T>(request: FileRequest, take: Take<T>): Promise<T> {
    return this.requests.persist(() => this.attempt(request, take), maxOpenAttempts);
  }

  /** One attempt. Errors: PassingFailure if the server fails for now; of `take`. */
  private attempt<T>(request: FileRequest, take: Take<T>): Promise<T> {
    return this.requests.attempt({ ...request, url: this.url }, async (response, eachPiece) => {
      const failure = passingFailureOf(response, this.platform.clock.wallClock().seconds);
      if (failure) throw failure;
      return take(response, eachPiece);
    });
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.requests.close();
  }
}

function changed(how: string): BlockError {
  return anotherFile(`The file on the server has changed: ${how}`);
}

function anotherRange(): BlockError {
  return anotherFile('Got another range');
}

/** What comes is not the file that was opened. */
function anotherFile(message: string): BlockError {
  return new BlockError('EIO', message, { reason: 'content-changed' });
}
