/**
 * Who asks: signs requests to an object store by the fourth version of AWS's signatures (aws4fetch).
 *
 * Each attempt is signed anew. What a store says of a wrong clock or region is believed once, and the request made again. A redirect is an
 * answer: what is signed for one server is for no other.
 */
import { AwsV4Signer } from 'aws4fetch';
import { BlockError } from '../../base/errors.ts';
import type { EachPiece, Request, Send, Take, Through } from '../../http/requests.ts';
import { isSuccess } from '../../http/responses.ts';
import { type FetchResponse, type Hashes, loadPart, type Platform } from '../../platform/platform.ts';
import { toHex } from '../ids.ts';
import type { S3Credentials } from './credentials.ts';
import { Refusal, refusalOf } from './refusal.ts';

/** Of a refusal. */
const maxRefusalBytes = 1 << 16;
/** A clock that is off by less is nobody's concern. */
const toldSeconds = 60;
/** A range lies behind the end: what that means depends on what is asked for. */
const rangeNotThere = 416;

/** What signatures are made with beside the keys; as the store has corrected it. */
interface Signing {
  readonly region: string;
  /** The store's clock less ours. */
  readonly aheadSeconds: number;
}

export class S3Access {
  private readonly hashes: Hashes;
  private signing: Signing;
  /** Of aws4fetch: keys for a day. */
  private readonly cache = new Map<string, ArrayBuffer>();

  /** Errors: ENOTSUP: nothing is hashed on this host. */
  constructor(
    private readonly platform: Platform,
    /** In messages. */
    private readonly endpoint: string,
    region: string,
    private readonly credentials: S3Credentials,
  ) {
    if (!platform.hashes) throw new BlockError('ENOTSUP', 'This host cannot sign requests');
    this.hashes = platform.hashes;
    this.signing = { region, aheadSeconds: 0 };
  }

  /** Which region the bucket is taken to be in. */
  get region(): string {
    return this.signing.region;
  }

  /**
   * For `Requests`: one attempt, and one more when the store has said what was wrong with the signature. What is taken is a success, or
   * that a range is not there (416). Errors: PassingFailure; Refusal.
   */
  readonly through: Through = async <T>(request: Request, take: Take<T>, send: Send): Promise<T> => {
    const attempt = async (): Promise<T> =>
      send(
        { ...request, redirect: 'manual', headers: await this.signed(request) },
        async (response, eachPiece) => {
          if (!isSuccess(response.status) && response.status !== rangeNotThere)
            throw await this.refusal(response, eachPiece);
          return take(response, eachPiece);
        },
      );
    const { signing } = this;
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Refusal) || !this.correct(error, signing)) throw error;
      return attempt();
    }
  };

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
      `the clock of this computer is ${minutes} minutes ${how} that of ${this.endpoint}`,
    );
  }

  private async signed({ url, method, headers, body, sha256 }: Request): Promise<Record<string, string>> {
    const { region, aheadSeconds } = this.signing;
    const hash = sha256 ?? (await this.hashes.sha256(body ?? new Uint8Array()));
    const ms = (this.platform.clock.wallClock().seconds + aheadSeconds) * 1000;
    const signer = new AwsV4Signer({
      ...this.credentials,
      ...{ url, method, region, service: 's3', cache: this.cache },
      datetime: new Date(ms).toISOString().replace(/[:-]|\.\d{3}/g, ''),
      headers: { ...headers, 'x-amz-content-sha256': toHex(hash) },
    });
    // By WebCrypto: outside of what the platform knows of, as loading is.
    return Object.fromEntries((await loadPart(this.platform, () => signer.sign())).headers);
  }

  /** What an answer that is none comes to. */
  async refusal(response: FetchResponse, eachPiece: EachPiece): Promise<BlockError> {
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
