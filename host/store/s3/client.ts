/**
 * Requests to one bucket of an object store, signed (access.ts).
 *
 * What may pass (a store that is busy, restarts or cannot be reached) is tried again for a quarter of an hour, but only a few times while
 * the store has not answered anything yet: a wrong address is to be told soon. At most so many requests as were asked for are under
 * way at a time. Errors name the bucket and the key, and have the words of the store.
 */
import { BlockError } from '../../base/errors.ts';
import { Waiters } from '../../base/waiters.ts';
import { collected, Requests } from '../../http/requests.ts';
import { isSuccess, PassingFailure } from '../../http/responses.ts';
import type { FetchRequest, FetchResponse, Platform } from '../../platform/platform.ts';
import { S3Access } from './access.ts';
import { bucketUrl, objectUrl, type S3Address } from './address.ts';
import type { S3Credentials } from './credentials.ts';
import type { S3Settings } from './settings.ts';

/** Without any byte. */
const timeoutSeconds = 60;
/** What a body may take beside that: a line slower than this, in bytes a second, is none. */
const slowestLine = 32_768;
/** For which a failure that may pass is tried again. */
const retrySeconds = 900;
/** While nothing has been answered. */
const firstAttempts = 4;
/** Of an answer that says no more than that it is one. */
const maxAnswerBytes = 1 << 20;
/** Between two words about failures that pass: in a storm there is one with each request. */
const quietNs = 60e9;

interface S3Request {
  readonly method: FetchRequest['method'];
  /** Without the prefix of the address. Empty: the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Of the body, 32 bytes, where it is known. */
  readonly sha256?: Uint8Array;
}

export interface S3Response {
  readonly headers: FetchResponse['headers'];
  readonly status: number;
  /** All of it. Errors: EFBIG: it is longer than `limit`, and nothing more of it comes. */
  readBody(limit: number): Promise<Uint8Array>;
}

export class S3Client {
  private readonly requests: Requests;
  private readonly access: S3Access;
  private readonly base: string;
  private readonly turns = new Waiters();
  private underWay = 0;
  private hasAnswered = false;
  private quietUntilNs = 0;

  constructor(
    private readonly platform: Platform,
    readonly address: S3Address,
    private readonly settings: S3Settings,
    credentials: S3Credentials,
  ) {
    this.base = bucketUrl(address, settings.bucketLookup);
    this.access = new S3Access(platform, address.endpoint, settings.region, credentials);
    const { through } = this.access;
    this.requests = new Requests(
      platform,
      { timeoutSeconds, retrySeconds, headers: {}, through },
      (trouble) => {
        if (trouble) this.tellOfTrouble(trouble.message);
      },
    );
  }

  private tellOfTrouble(message: string): void {
    const { clock, console } = this.platform;
    if (clock.nowNs() < this.quietUntilNs) return;
    this.quietUntilNs = clock.nowNs() + quietNs;
    const { bucket, endpoint } = this.address;
    console.warn(`bucket '${bucket}' of ${endpoint}: ${message}; trying again`);
  }

  /** Which region the bucket is taken to be in. */
  get region(): string {
    return this.access.region;
  }

  /** Of what nothing is to come but that it was done. Errors: as `request`. */
  async run(request: S3Request): Promise<void> {
    // A connection whose answer was read to its end is used again.
    await this.request(request, ({ readBody }) => readBody(maxAnswerBytes));
  }

  /** Errors: with the errno that is nearest; EIO or ETIMEDOUT: it cannot be reached; of `take`, which may be called again. */
  async request<T>(request: S3Request, take: (response: S3Response) => Promise<T>): Promise<T> {
    while (this.underWay >= this.settings.connections) await this.turns.wait();
    this.underWay++;
    try {
      const attempts = this.hasAnswered ? Number.POSITIVE_INFINITY : firstAttempts;
      return await this.requests.persist(() => this.attempt(request, take), attempts);
    } catch (error) {
      // The next one does not wait as long for what did not come back.
      this.hasAnswered = !(error instanceof PassingFailure);
      throw error instanceof BlockError ? error.within(this.nameOf(request.key)) : error;
    } finally {
      this.underWay--;
      this.turns.wake();
    }
  }

  private nameOf(key: string): string {
    const { bucket, prefix } = this.address;
    return `bucket '${bucket}'${key === '' ? '' : `, key '${prefix}${key}'`}`;
  }

  private attempt<T>(request: S3Request, take: (response: S3Response) => Promise<T>): Promise<T> {
    const { method, body, sha256, headers = {} } = request;
    const url = objectUrl(
      this.base,
      request.key === '' ? '' : `${this.address.prefix}${request.key}`,
      request.query,
    );
    const queueNs = ((body?.length ?? 0) / slowestLine) * 1e9;
    const asked = { url, method, headers, queueNs, ...(body && { body }), ...(sha256 && { sha256 }) };
    return this.requests.attempt(asked, async (response, eachPiece) => {
      if (!isSuccess(response.status)) throw await this.access.refusal(response, eachPiece);
      this.hasAnswered = true;
      const { status, headers: told } = response;
      return take({ status, headers: told, readBody: (limit) => collected(eachPiece, limit) });
    });
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.requests.close();
  }
}
