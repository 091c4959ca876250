/**
 * An object that is written from its beginning to its end: in parts of equal size, two of which are under way while the next is filled.
 *
 * Nothing is to be seen of it until all parts are there and the store is told so. What was given up is taken away, as far as the store can
 * be reached; a program that was killed leaves an upload that nobody sees, which stores are usually told to remove after some days.
 *
 * The answer to the last request may get lost: the object has the upload's own name among its metadata, by which it is known.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { roundUp } from '../../base/sectors.ts';
import { decodeText } from '../../base/text.ts';
import type { FileBounds, OrderedFile } from '../../block/ordered-file.ts';
import type { Platform } from '../../platform/platform.ts';
import { toHex } from '../ids.ts';
import type { S3Client, S3Response } from './client.ts';
import { refusalOf } from './refusal.ts';
import { escaped, textOf } from './xml.ts';

const mebibyte = 1 << 20;
/** As many as every store accepts. */
const maxParts = 10_000;
/** Stores want at least 5 MiB, and each request takes its time. */
const minPartBytes = 8 * mebibyte;
/** Some of them are in memory. */
const maxPartBytes = 512 * mebibyte;
/** Beside the one that is filled. */
const maxUnderWay = 2;
/** Of an answer that says how something went. */
const maxAnswerBytes = mebibyte;
const ownName = 'x-amz-meta-blockyard-upload';

interface Part {
  readonly number: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  filled: number;
}

/** Bytes of each part but the last. Errors: EFBIG: there would be too many. */
export function partBytesFor(maxBytes: number): number {
  const bytes = Math.max(minPartBytes, roundUp(Math.ceil(maxBytes / maxParts), mebibyte));
  if (bytes <= maxPartBytes) return bytes;
  throw new BlockError(
    'EFBIG',
    `an object of up to ${maxBytes} bytes is too large: there are ${maxParts} parts of ${maxPartBytes} bytes at most`,
  );
}

export class ObjectUpload implements OrderedFile {
  private readonly partBytes: number;
  private readonly name: string;
  /** That is filled now. */
  private part: Part;
  /** The first, where its beginning comes last. */
  private first: Part | undefined;
  private id: string | undefined;
  /** By the numbers of their parts, from 1 on. */
  private readonly etags: string[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private readonly spare: Uint8Array<ArrayBuffer>[] = [];
  private failure: BlockError | undefined;

  /** `connect`: to the bucket. Nothing is asked of it yet. Errors: EFBIG. */
  constructor(
    { random }: Pick<Platform, 'random'>,
    private readonly connect: () => S3Client,
    private readonly key: string,
    private readonly bounds: FileBounds,
    private readonly client: S3Client = connect(),
  ) {
    this.partBytes = partBytesFor(bounds.maxBytes);
    const name = new Uint8Array(16);
    random.fill(name);
    this.name = toHex(name);
    this.part = this.newPart(1);
  }

  private newPart(number: number): Part {
    return { number, bytes: this.spare.pop() ?? new Uint8Array(this.partBytes), filled: 0 };
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      this.check();
      const { part } = this;
      const taken = bytes.subarray(done, done + this.partBytes - part.filled);
      part.bytes.set(taken, part.filled);
      part.filled += taken.length;
      done += taken.length;
      if (part.filled === this.partBytes) await this.next();
    }
  }

  /** Sends the part that is full, unless its beginning is still to come. */
  private async next(): Promise<void> {
    const { part } = this;
    if (part.number === maxParts) throw new BlockError('EFBIG', `more than ${this.bounds.maxBytes} bytes`);
    await this.begin();
    if (part.number === 1 && this.bounds.headBytes > 0) this.first = part;
    else await this.send(part);
    this.part = this.newPart(part.number + 1);
  }

  private async begin(): Promise<void> {
    const { client, key } = this;
    const headers = { [ownName]: this.name };
    this.id ??= await client.request(
      { method: 'POST', key, query: { uploads: '' }, headers },
      async (response) => {
        const id = textOf(decodeText(await response.readBody(maxAnswerBytes)), 'UploadId');
        if (id) return id;
        throw new BlockError('EIO', 'the store does not say what the upload is called');
      },
    );
  }

  /** Settles when there is room for the next. */
  private async send(part: Part): Promise<void> {
    while (this.underWay.size >= maxUnderWay) await Promise.race(this.underWay);
    this.check();
    const sending = this.put(part).catch((error: unknown) => void (this.failure ??= asBlockError(error)));
    const tracked: Promise<void> = sending.then(() => void this.underWay.delete(tracked));
    this.underWay.add(tracked);
  }

  private async put({ number, bytes, filled }: Part): Promise<void> {
    const { client, key } = this;
    const query = { partNumber: String(number), uploadId: this.id! }; // begun before
    const body = bytes.subarray(0, filled);
    this.etags[number - 1] = await client.request({ method: 'PUT', key, query, body }, async (response) => {
      await response.readBody(maxAnswerBytes);
      const etag = response.headers.get('etag');
      if (etag) return etag;
      throw new BlockError('EIO', `the store does not say what it has of part ${number}`);
    });
    this.spare.push(bytes);
  }

  private check(): void {
    if (this.failure) throw this.failure;
  }

  async finish(head?: Uint8Array): Promise<void> {
    this.check();
    const { part } = this;
    if (head) (this.first ?? part).bytes.set(head);
    if (this.id === undefined) return this.putWhole(part);
    if (part.filled > 0) await this.send(part);
    if (this.first) await this.send(this.first);
    await Promise.all(this.underWay);
    this.check();
    await this.complete();
  }

  /** All of it is one part. */
  private async putWhole({ bytes, filled }: Part): Promise<void> {
    await this.client.run({ method: 'PUT', key: this.key, body: bytes.subarray(0, filled) });
  }

  private async complete(): Promise<void> {
    const { client, key } = this;
    const parts = this.etags.map(
      (etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escaped(etag)}</ETag></Part>`,
    );
    const text = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join('')}</CompleteMultipartUpload>`;
    const body = new TextEncoder().encode(text);
    const query = { uploadId: this.id! }; // begun before
    try {
      await client.request({ method: 'POST', key, query, body }, checkCompleted);
    } catch (error) {
      // An attempt whose answer was lost may have done it.
      if (asBlockError(error).errno !== 'ENOENT' || !(await this.isThere())) throw error;
    }
    this.id = undefined;
  }

  private async isThere(): Promise<boolean> {
    try {
      return await this.client.request(
        { method: 'HEAD', key: this.key },
        async ({ headers }) => headers.get(ownName) === this.name,
      );
    } catch (error) {
      if (asBlockError(error).errno === 'ENOENT') return false;
      throw error;
    }
  }

  async abort(): Promise<void> {
    this.failure ??= new BlockError('ECANCELED');
    await this.client.close();
    await Promise.all(this.underWay);
    const { id, key } = this;
    if (id === undefined) return;
    // What the store does not take away itself is for whoever cleans it up: it is no part of any object.
    await this.connect()
      .run({ method: 'DELETE', key, query: { uploadId: id } })
      .catch(asBlockError);
  }
}

/** A store that takes its time says first that all is well, and then whether it is. */
async function checkCompleted({ status, headers, readBody }: S3Response): Promise<void> {
  const body = decodeText(await readBody(maxAnswerBytes));
  if (textOf(body, 'Error') !== undefined)
    throw refusalOf({ response: { status, headers }, body, nowSeconds: 0, secrets: [] });
}
