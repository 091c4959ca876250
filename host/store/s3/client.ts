/**
 * Requests to one bucket of an object store, signed by AWS's fourth version of signatures (aws4fetch).
 *
 * Each attempt is signed anew. What a store says of a wrong clock or region is believed once, and the request made again; what may
 * pass (a store that is busy, restarts or cannot be reached) is tried again for a quarter of an hour, but only a few times while
 * the store has not answered anything yet: a wrong address is to be told soon. At most so many requests as were asked for are under
 * way at a time. Errors name the bucket and the key, and have the words of the store.
 */
import { AwsV4Signer } from 'aws4fetch';
import { BlockError } from '../../base/errors.ts';
import { Waiters } from '../../base/waiters.ts';
import { collected, type EachPiece, Requests } from '../../http/requests.ts';
import { isSuccess, PassingFailure } from '../../http/responses.ts';
import type { FetchRequest, FetchResponse, Platform } from '../../platform/platform.ts';
import { toHex } from '../ids.ts';
import { bucketUrl, objectUrl, type S3Address } from './address.ts';
import type { S3Credentials } from './credentials.ts';
import { Refusal, refusalOf } from './refusal.ts';
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
/** Of a refusal. */
const maxRefusalBytes = 1 << 16;
/** Between two words about failures that pass: in a storm there is one with each request. */
const quietNs = 60e9;
/** A clock that is off by less is nobody's concern. */
const toldSeconds = 60;

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

interface S3Response {
  readonly headers: FetchResponse['headers'];
  readonly status: number;
  /** All of it. Errors: EFBIG: it is longer than `limit`, and nothing more of it comes. */
  readBody(limit: number): Promise<Uint8Array>;
}

/** What signatures are made with beside the keys; as the store has corrected it. */
interface Signing {
  readonly region: string;
  /** The store's clock less ours. */
  readonly aheadSeconds: number;
}

export class S3Client {
  private readonly requests: Requests;
  private readonly base: string;
  private readonly turns = new Waiters();
  private underWay = 0;
  private hasAnswered = false;
  private quietUntilNs = 0;
  private signing: Signing;
  /** Of aws4fetch: keys for a day. */
  private readonly cache = new Map<string, ArrayBuffer>();

  constructor(
    private readonly platform: Platform,
    readonly address: S3Address,
    private readonly settings: S3Settings,
    private readonly credentials: S3Credentials,
  ) {
    if (!platform.hashes) throw new BlockError('ENOTSUP', 'This host cannot sign requests');
    this.base = bucketUrl(address, settings.bucketLookup);
    this.signing = { region: settings.region, aheadSeconds: 0 };
    this.requests = new Requests(platform, { timeoutSeconds, retrySeconds, headers: {} }, (trouble) => {
      if (trouble) this.tellOfTrouble(trouble.message);
    });
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
    return this.signing.region;
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
      return await this.requests.persist(() => this.attemptCorrected(request, take), attempts);
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

  /** One attempt, and one more when the store has said what was wrong with the signature. */
  private async attemptCorrected<T>(
    request: S3Request,
    take: (response: S3Response) => Promise<T>,
  ): Promise<T> {
    const { signing } = this;
    try {
      return await this.attempt(request, take);
    } catch (error) {
      if (!(error instanceof Refusal) || !this.correct(error, signing)) throw error;
      return this.attempt(request, take);
    }
  }

  /** Whether a request that was signed so is worth another try. */
  private correct({ storeSeconds, region }: Refusal, used: Signing): boolean {
    // Another request has had the same answer.
    if (this.signing !== used) return storeSeconds !== undefined || region !== undefined;
    if (storeSeconds !== undefined) {
      const aheadSeconds = storeSeconds - this.platform.clock.wallClock().seconds;
      this.signing = { ...used, aheadSeconds };
      if (Math.abs(aheadSeconds) > toldSeconds) this.tellOfClock(aheadSeconds);
      return true;
    }
    if (region === undefined || region === used.region) return false;
    this.signing = { ...used, region };
    return true;
  }

  private tellOfClock(aheadSeconds: number): void {
    const minutes = Math.round(Math.abs(aheadSeconds) / 60);
    const how = aheadSeconds > 0 ? 'behind' : 'ahead of';
    this.platform.console.warn(
      `the clock of this computer is ${minutes} minutes ${how} that of ${this.address.endpoint}`,
    );
  }

  private async attempt<T>(request: S3Request, take: (response: S3Response) => Promise<T>): Promise<T> {
    const { method, body } = request;
    const url = objectUrl(
      this.base,
      request.key === '' ? '' : `${this.address.prefix}${request.key}`,
      request.query,
    );
    const headers = await this.signed(url, request);
    const queueNs = ((body?.length ?? 0) / slowestLine) * 1e9;
    const asked = { url, method, headers, queueNs, redirect: 'manual', ...(body && { body }) } as const;
    return this.requests.attempt(asked, async (response, eachPiece) => {
      if (!isSuccess(response.status)) throw await this.refusal(response, eachPiece);
      this.hasAnswered = true;
      const { status, headers: told } = response;
      return take({ status, headers: told, readBody: (limit) => collected(eachPiece, limit) });
    });
  }

  private async signed(
    url: string,
    { method, headers, body, sha256 }: S3Request,
  ): Promise<Readonly<Record<string, string>>> {
    const { region, aheadSeconds } = this.signing;
    const hash = sha256 ?? (await this.platform.hashes!.sha256(body ?? new Uint8Array())); // looked for when it was made
    const ms = (this.platform.clock.wallClock().seconds + aheadSeconds) * 1000;
    const signer = new AwsV4Signer({
      ...this.credentials,
      ...{ url, method, region, service: 's3', cache: this.cache },
      datetime: new Date(ms).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      headers: { ...headers, 'x-amz-content-sha256': toHex(hash) },
    });
    return Object.fromEntries((await signer.sign()).headers);
  }

  private async refusal(response: FetchResponse, eachPiece: EachPiece): Promise<BlockError> {
    const { secretAccessKey, sessionToken } = this.credentials;
    let body = '';
    const decoder = new TextDecoder();
    await eachPiece((piece) => {
      body += decoder.decode(piece, { stream: true });
      return body.length < maxRefusalBytes;
    });
    return refusalOf({
      ...{ response, body, nowSeconds: this.platform.clock.wallClock().seconds },
      secrets: [secretAccessKey, ...(sessionToken === undefined ? [] : [sessionToken])],
    });
  }
}
