/**
 * An object store on the loopback interface, in memory: one that fails when it is told to, and that verifies signatures (AWS's version
 * 4) by code that shares nothing with what makes them.
 */
import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopbackServer } from './loopback-server.ts';

/** What happens to a request in place of an answer. */
export type S3Fault =
  | 'slow-down'
  | 'internal-error'
  /** The connection ends before anything is done. */
  | 'reset'
  /** It is done, and nobody is told. */
  | 'reset-after'
  /** It ends in the middle of the request's body. */
  | 'half-upload'
  /** Half of the body of the answer comes. */
  | 'half-answer'
  /** All of another range than the one that was asked for. */
  | 'whole'
  /** A success at first, and a failure in what comes then. */
  | 'late-error';

export interface S3Call {
  readonly method: string;
  /** Empty: of the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

interface StoredFile {
  readonly content: Buffer;
  readonly etag: string;
  /** What whoever made it has said of it: headers. */
  readonly metadata: Record<string, string>;
}

interface Upload {
  readonly key: string;
  readonly metadata: Record<string, string>;
  readonly parts: Map<number, StoredFile>;
}

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly more = '',
  ) {
    super(message);
  }
}

export class S3Server extends LoopbackServer {
  readonly buckets = new Map<string, Map<string, StoredFile>>();
  readonly uploads = new Map<string, Upload>();
  readonly calls: S3Call[] = [];
  readonly keys = { id: 'TESTKEY', secret: 'very/secret+key', token: undefined as string | undefined };
  region = 'us-east-1';
  /** How far its clock is before the real one. */
  aheadSeconds = 0;
  /** What it says of the time is what it goes by. */
  tellsTime = true;
  pageSize = 1000;
  honoursConditions = true;
  /** Names of objects' states that have nothing to do with their content. */
  hasOddEtags = false;
  fault: (call: S3Call) => S3Fault | undefined = () => undefined;
  /** Answers wait for it. */
  gate: Promise<void> = Promise.resolve();
  /** Most requests that were under way at a time. */
  most = 0;
  private underWay = 0;

  bucket(name: string): Map<string, StoredFile> {
    let found = this.buckets.get(name);
    if (!found) this.buckets.set(name, (found = new Map()));
    return found;
  }

  store(bucket: string, key: string, content: Buffer, metadata: Record<string, string> = {}): StoredFile {
    const file = { content, etag: this.etagOf(content), metadata };
    this.bucket(bucket).set(key, file);
    return file;
  }

  private etagOf(content: Buffer): string {
    const etag = this.hasOddEtags
      ? String(this.calls.length)
      : createHash('md5').update(content).digest('hex');
    return `"${etag}"`;
  }

  protected answer(request: IncomingMessage, response: ServerResponse): void {
    this.most = Math.max(this.most, ++this.underWay);
    const aheadSeconds = this.tellsTime ? this.aheadSeconds : 0;
    response.setHeader('date', new Date(Date.now() + aheadSeconds * 1000).toUTCString());
    const refuse = (error: unknown): void => {
      // The client has gone.
      if (!(error instanceof Refused)) return void response.destroy();
      const body = `<?xml version="1.0"?><Error><Code>${error.code}</Code><Message>${error.message}</Message>${error.more}</Error>`;
      response.writeHead(error.status, { 'content-type': 'application/xml' });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    void this.serve(request, response)
      .catch(refuse)
      .finally(() => void this.underWay--);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://server');
    const [, ofHost] = /^([^.]+)\.s3\.test/.exec(request.headers.host ?? '') ?? [];
    const parts = url.pathname.slice(1).split('/').map(decodeURIComponent);
    const bucket = ofHost ?? parts.shift() ?? '';
    const call = {
      ...{ method: request.method ?? '', key: parts.join('/'), query: url.searchParams },
      headers: request.headers,
    };
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === 'half-upload') return void request.once('data', () => request.socket.destroy());
    const body = await bodyOf(request);
    await this.gate;
    if (fault === 'slow-down') throw new Refused(503, 'SlowDown', 'Please reduce your request rate.');
    if (fault === 'late-error') {
      response.writeHead(200);
      return void response.end('<Error><Code>InternalError</Code><Message>not after all</Message></Error>');
    }
    if (fault === 'internal-error') throw new Refused(500, 'InternalError', 'We encountered an error');
    this.authenticate(request, body);
    const done = this.act(bucket, call, body, fault === 'whole');
    if (fault === 'reset-after') return void request.socket.destroy();
    response.writeHead(done.status, { ...done.headers, 'content-length': done.body.length });
    if (request.method === 'HEAD') response.end();
    else if (fault === 'half-answer')
      response.write(done.body.subarray(0, done.body.length / 2), () => response.destroy());
    else response.end(done.body);
  }

  /** Errors: Refused. */
  private authenticate(request: IncomingMessage, body: Buffer): void {
    const { headers } = request;
    const form =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$/;
    const [, id, day, region, names, signature] = form.exec(headers.authorization ?? '') ?? [];
    if (id === undefined) throw new Refused(403, 'AccessDenied', 'Anonymous');
    if (id !== this.keys.id) throw new Refused(403, 'InvalidAccessKeyId', 'No such key');
    if (region !== this.region)
      throw new Refused(
        400,
        'AuthorizationHeaderMalformed',
        `expecting '${this.region}'`,
        `<Region>${this.region}</Region>`,
      );
    const time = String(headers['x-amz-date']);
    const ms = Date.parse(time.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
    if (!(Math.abs(ms / 1000 - Date.now() / 1000 - this.aheadSeconds) < 900))
      throw new Refused(
        403,
        'RequestTimeTooSkewed',
        'The difference between the request time and the current time is too large.',
      );
    const hash = createHash('sha256').update(body).digest('hex');
    if (headers['x-amz-content-sha256'] !== hash)
      throw new Refused(400, 'XAmzContentSHA256Mismatch', 'The provided hash does not match');
    if (headers['x-amz-security-token'] !== this.keys.token)
      throw new Refused(403, 'InvalidToken', 'The token is another');
    const signed = names!.split(';');
    const unsigned = ['host', ...Object.keys(headers).filter((name) => name.startsWith('x-amz-'))].find(
      (name) => !signed.includes(name),
    );
    if (unsigned !== undefined) throw new Refused(403, 'AccessDenied', `${unsigned} is not signed`);
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const canonical = [
      request.method,
      path
        .split('/')
        .map((part) => encoded(decodeURIComponent(part)))
        .join('/'),
      query
        .split('&')
        .filter((item) => item !== '')
        .map(canonicalItem)
        .sort()
        .join('&'),
      ...signed.map((name) => `${name}:${String(headers[name]).trim()}`),
      '',
      names,
      hash,
    ].join('\n');
    const scope = `${day}/${region}/s3/aws4_request`;
    const key = [day!, region!, 's3', 'aws4_request'].reduce<string | Buffer>(
      hmac,
      `AWS4${this.keys.secret}`,
    );
    const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join(
      '\n',
    );
    if (hmac(key, text).toString('hex') !== signature)
      throw new Refused(403, 'SignatureDoesNotMatch', 'Check your key and signing method');
  }

  private act(
    name: string,
    { method, key, query, headers }: S3Call,
    body: Buffer,
    isWhole: boolean,
  ): { status: number; headers: Record<string, string>; body: Buffer } {
    const answer = (status: number, text: string | Buffer = '', more: Record<string, string> = {}) => ({
      ...{ status, headers: more, body: Buffer.from(text) },
    });
    if (key === '' && method === 'PUT') {
      this.bucket(name);
      return answer(200);
    }
    const bucket = this.buckets.get(name);
    if (!bucket) throw new Refused(404, 'NoSuchBucket', 'The specified bucket does not exist');
    if (key === '') return answer(200, method === 'HEAD' ? '' : this.listed(bucket, query));
    if (query.has('uploads') || query.has('uploadId'))
      return answer(...this.multipart(name, { method, key, query, headers }, body));
    const found = bucket.get(key);
    if (method === 'DELETE') {
      bucket.delete(key);
      return answer(204);
    }
    if (method === 'PUT') {
      if (headers['if-none-match'] === '*' && found && this.honoursConditions)
        throw new Refused(412, 'PreconditionFailed', 'At least one of the conditions did not hold');
      return answer(200, '', { etag: this.store(name, key, body, metadataOf(headers)).etag });
    }
    if (!found) throw new Refused(404, 'NoSuchKey', 'The specified key does not exist.');
    const { content, etag, metadata } = found;
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    if (first === undefined || isWhole) return answer(200, content, { ...metadata, etag });
    if (Number(first) >= content.length) throw new Refused(416, 'InvalidRange', 'The range is not there');
    const part = content.subarray(Number(first), Number(last) + 1);
    const range = `bytes ${first}-${Number(first) + part.length - 1}/${content.length}`;
    return answer(206, part, { etag, 'content-range': range });
  }

  private listed(bucket: Map<string, StoredFile>, query: URLSearchParams): string {
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const names = [...bucket.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = names.slice(0, this.pageSize);
    const items = page.map(
      (key) =>
        `<Contents><Key>${encoded(key)}</Key><Size>${bucket.get(key)!.content.length}</Size></Contents>`,
    );
    const more = names.length > page.length;
    const next = more ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    return `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType><IsTruncated>${more}</IsTruncated>${next}${items.join('')}</ListBucketResult>`;
  }

  private multipart(
    bucket: string,
    { method, key, query, headers }: S3Call,
    body: Buffer,
  ): [status: number, body: string, headers?: Record<string, string>] {
    if (query.has('uploads')) {
      const id = `upload-${this.calls.length}`;
      this.uploads.set(id, { key, parts: new Map(), metadata: metadataOf(headers) });
      return [
        200,
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      ];
    }
    const id = query.get('uploadId')!; // it is one of the two
    const upload = this.uploads.get(id);
    if (!upload) throw new Refused(404, 'NoSuchUpload', 'The upload is not there');
    if (method === 'DELETE') {
      this.uploads.delete(id);
      return [204, ''];
    }
    if (method === 'PUT') {
      const part = { content: body, etag: this.etagOf(body), metadata: {} };
      upload.parts.set(Number(query.get('partNumber')), part);
      return [200, '', { etag: part.etag }];
    }
    const listed = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag>/g)];
    const parts = listed.map(([, number, etag]) => {
      const part = upload.parts.get(Number(number));
      if (part?.etag !== etag!.replaceAll('&#34;', '"'))
        throw new Refused(400, 'InvalidPart', `Part ${number}`);
      return part.content;
    });
    this.uploads.delete(id);
    this.store(bucket, key, Buffer.concat(parts), upload.metadata);
    return [200, '<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>'];
  }
}

function metadataOf(headers: IncomingMessage['headers']): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'));
  return Object.fromEntries(own.map(([name, value]) => [name, String(value)]));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function canonicalItem(item: string): string {
  const [name = '', value = ''] = item.split('=');
  return `${encoded(decodeURIComponent(name))}=${encoded(decodeURIComponent(value))}`;
}

/** Of each byte but letters, digits and `-._~`. */
function encoded(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[A-Za-z0-9\-._~]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
