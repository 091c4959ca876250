/**
 * A repository in a bucket (specification: store, sections 2 and 12): an object for each file, the names behind a prefix.
 *
 * The store checks the content of what it is given by the hash that is signed with the request, and stores nothing else; an object
 * is there when all of it is. No condition is relied on: where `putNew` is not understood, it is `put`. What comes is not believed:
 * its length and range are looked at, and whoever reads it verifies the rest.
 */
import { concatenated } from '../../base/concatenated.ts';
import { asBlockError, BlockError } from '../../base/errors.ts';
import { decodeText } from '../../base/text.ts';
import { contentRangeOf, lengthOf } from '../../http/responses.ts';
import type { Platform } from '../../platform/platform.ts';
import type { ObjectStore, StoredObject } from '../object-store.ts';
import { locationOf, parseAddress } from './address.ts';
import { S3Client } from './client.ts';
import { readCredentials } from './credentials.ts';
import { s3Settings } from './settings.ts';
import { elements, escaped, textOf } from './xml.ts';

/** Of one answer to a list; they name a thousand objects. */
const maxListBytes = 8 << 20;
/** Of one list. */
const maxObjects = 20_000_000;

export class S3Store implements ObjectStore {
  constructor(private readonly client: S3Client) {}

  /** `name`: behind `s3:`. Errors: of an address, options or credentials that make no sense. */
  static async open(
    name: string,
    platform: Platform,
    options: ReadonlyMap<string, string>,
  ): Promise<S3Store> {
    const { environment = {}, files } = platform;
    const address = parseAddress(name);
    const settings = s3Settings(address, options, environment);
    return new S3Store(new S3Client(platform, address, settings, await readCredentials(environment, files)));
  }

  get location(): string {
    return locationOf(this.client.address);
  }

  /** Makes the bucket if there is none; folders are none here. */
  async prepare(): Promise<void> {
    const { client } = this;
    try {
      await client.run({ method: 'HEAD', key: '' });
    } catch (error) {
      // Who may not look at it may be allowed to write.
      if (asBlockError(error).errno === 'EACCES') return;
      if (asBlockError(error).errno !== 'ENOENT') throw error;
      await this.makeBucket();
    }
  }

  private async makeBucket(): Promise<void> {
    const { client } = this;
    const { region } = client;
    // The region that is nobody's choice has no name here.
    const where = `<LocationConstraint>${escaped(region)}</LocationConstraint>`;
    const text = `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${where}</CreateBucketConfiguration>`;
    const body = region === 'us-east-1' ? undefined : new TextEncoder().encode(text);
    await client.run({ method: 'PUT', key: '', ...(body && { body }) });
  }

  get(name: string, limit: number): Promise<Uint8Array> {
    return this.client.request({ method: 'GET', key: name }, async (response) => {
      const bytes = lengthOf(response);
      if (bytes !== undefined && bytes > limit)
        throw new BlockError('EFBIG', `it has ${bytes} bytes, more than ${limit}`);
      return response.readBody(limit);
    });
  }

  async getRange(name: string, offset: number, bytes: number): Promise<Uint8Array> {
    if (bytes === 0) return new Uint8Array();
    const headers = { range: `bytes=${offset}-${offset + bytes - 1}` };
    try {
      return await this.client.request({ method: 'GET', key: name, headers }, async (response) => {
        const { first } = contentRangeOf(response);
        if (response.status !== 206 || first !== offset)
          throw new BlockError('EIO', `the store does not answer with bytes from ${offset} on`);
        const content = await response.readBody(bytes);
        if (content.length === bytes) return content;
        throw new BlockError('EIO', `got ${content.length} of ${bytes} bytes from ${offset} on`);
      });
    } catch (error) {
      const { errno } = asBlockError(error);
      throw errno === 'ERANGE' ? new BlockError('EIO', asBlockError(error).message) : error;
    }
  }

  put(name: string, parts: readonly Uint8Array[], sha256: Uint8Array): Promise<void> {
    return this.client.run({ method: 'PUT', key: name, body: whole(parts), sha256 });
  }

  async putNew(name: string, parts: readonly Uint8Array[], sha256: Uint8Array): Promise<boolean> {
    const body = whole(parts);
    const headers = { 'if-none-match': '*' };
    try {
      await this.client.run({ method: 'PUT', key: name, headers, body, sha256 });
      return true;
    } catch (error) {
      if (asBlockError(error).errno !== 'EEXIST') throw error;
      // It may be ours: an attempt whose answer was lost.
      return this.has(name, body);
    }
  }

  private async has(name: string, content: Uint8Array): Promise<boolean> {
    try {
      const there = await this.get(name, content.length);
      return there.length === content.length && there.every((byte, i) => byte === content[i]);
    } catch (error) {
      // Another, and longer.
      if (asBlockError(error).errno === 'EFBIG') return false;
      throw error;
    }
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    const { prefix } = this.client.address;
    const found: StoredObject[] = [];
    let token: string | undefined;
    do {
      const page = await this.listPage(`${prefix}${folder}/`, token);
      for (const { name, bytes } of page.objects) found.push({ name: name.slice(prefix.length), bytes });
      const isStuck = page.next === '' || page.next === token;
      if (page.next !== undefined && (isStuck || found.length > maxObjects))
        throw new BlockError(
          'EIO',
          `bucket '${this.client.address.bucket}': the list of '${prefix}${folder}/' does not end`,
        );
      token = page.next;
    } while (token !== undefined);
    return found;
  }

  private async listPage(
    prefix: string,
    token: string | undefined,
  ): Promise<{ objects: StoredObject[]; next: string | undefined }> {
    const query = {
      ...(token === undefined ? {} : { 'continuation-token': token }),
      ...{ 'encoding-type': 'url', 'list-type': '2', prefix },
    };
    const xml = await this.client.request({ method: 'GET', key: '', query }, async (response) =>
      decodeText(await response.readBody(maxListBytes)),
    );
    const isEncoded = textOf(xml, 'EncodingType') === 'url';
    const objects = [...elements(xml, 'Contents')].map((item) => {
      const key = textOf(item, 'Key') ?? '';
      return { name: isEncoded ? decoded(key) : key, bytes: Number(textOf(item, 'Size')) };
    });
    const strange = objects.find(
      ({ name, bytes }) => !name.startsWith(prefix) || !Number.isSafeInteger(bytes),
    );
    if (strange || !xml.includes('<ListBucketResult'))
      throw new BlockError(
        'EIO',
        `bucket '${this.client.address.bucket}': the list of '${prefix}' has ${JSON.stringify(strange?.name.slice(0, 200) ?? xml.slice(0, 200))} in it`,
      );
    const isTruncated = textOf(xml, 'IsTruncated') === 'true';
    return { objects, next: isTruncated ? (textOf(xml, 'NextContinuationToken') ?? '') : undefined };
  }

  async remove(name: string): Promise<void> {
    try {
      await this.client.run({ method: 'DELETE', key: name });
    } catch (error) {
      if (asBlockError(error).errno !== 'ENOENT') throw error;
    }
  }
}

function whole(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : concatenated(parts); // the one
}

/** As `encoding-type=url` has it. */
function decoded(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return key;
  }
}
