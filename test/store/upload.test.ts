/** Objects that are written from their beginning to their end: there when they are complete, whatever the store does, or not at all. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { S3Client } from '../../host/store/s3/client.ts';
import { ObjectUpload, partBytesFor } from '../../host/store/s3/upload.ts';
import { firstDifference } from '../support/bytes.ts';
import { hastyClock } from '../support/hasty-clock.ts';
import { type S3Fault, S3Server } from '../support/s3-server.ts';
import { Seeded } from '../support/seeded.ts';
import { mib } from '../support/units.ts';

let server: S3Server;
let origin: string;

beforeEach(async () => {
  server = new S3Server();
  origin = await server.start();
  server.bucket('bucket');
});
afterEach(() => server.stop());

const key = 'a folder/disk.raw';

function begin(maxBytes: number, headBytes = 0): ObjectUpload {
  const platform = {
    ...nodePlatform,
    clock: hastyClock,
    console: { ...nodePlatform.console, warn: () => {} },
  };
  const address = { endpoint: origin, bucket: 'bucket', prefix: '' };
  const settings = { bucketLookup: 'path', connections: 5, region: 'us-east-1' } as const;
  const credentials = { accessKeyId: server.keys.id, secretAccessKey: server.keys.secret };
  const connect = (): S3Client => new S3Client(platform, address, settings, credentials);
  return new ObjectUpload(platform, connect, key, { maxBytes, headBytes });
}

function contentOf(bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 1021) content[at] = at;
  return content;
}

async function append(upload: ObjectUpload, content: Buffer, seeded = new Seeded(1)): Promise<void> {
  for (let at = 0; at < content.length; ) {
    const piece = content.subarray(at, at + 1 + seeded.below(3 * mib));
    await upload.append(piece);
    at += piece.length;
  }
}

const stored = (): Buffer | undefined => server.bucket('bucket').get(key)?.content;

function expectStored(content: Buffer): void {
  expect(firstDifference(stored() ?? Buffer.from('nothing'), content)).toBe(-1);
}

describe('an object', () => {
  test.each([0, 1, 5 * mib, 8 * mib, 8 * mib + 1, 25 * mib])(
    'of %i bytes is what was appended',
    async (bytes) => {
      const content = contentOf(bytes);
      const upload = begin(bytes);
      await append(upload, content);
      expect(stored()).toBeUndefined();
      await upload.finish();
      expectStored(content);
      expect(server.uploads.size).toBe(0);
      expect(server.most).toBeLessThanOrEqual(2);
    },
  );

  test.each([3 * mib, 8 * mib, 20 * mib])('of %i bytes has its beginning from the end', async (bytes) => {
    const content = contentOf(bytes);
    const upload = begin(bytes, 512);
    await append(upload, content);
    const head = new Uint8Array(512).fill(7);
    content.set(head);
    await upload.finish(head);
    expectStored(content);
  });

  test('replaces what had its name when it is complete', async () => {
    server.store('bucket', key, Buffer.from('old'));
    const content = contentOf(9 * mib);
    const upload = begin(content.length);
    await append(upload, content);
    expect(stored()).toEqual(Buffer.from('old'));
    await upload.finish();
    expectStored(content);
  });

  test.each<S3Fault>(['slow-down', 'internal-error', 'reset', 'reset-after', 'half-upload'])(
    'is what was appended, of a store that fails for a while by %s',
    async (kind) => {
      const seeded = new Seeded(4);
      server.fault = ({ method }) => {
        if (kind === 'half-upload' && method !== 'PUT') return undefined;
        return seeded.oneIn(3) ? kind : undefined;
      };
      const content = contentOf(20 * mib);
      const upload = begin(content.length);
      await append(upload, content);
      await upload.finish();
      expectStored(content);
    },
  );

  test.each<S3Fault>(['reset-after', 'late-error'])(
    'is complete when the last answer is a %s',
    async (kind) => {
      let left = 1;
      server.fault = ({ method, query }) =>
        method === 'POST' && query.has('uploadId') && left-- > 0 ? kind : undefined;
      const content = contentOf(9 * mib);
      const upload = begin(content.length);
      await append(upload, content);
      await upload.finish();
      expectStored(content);
    },
  );
});

describe('an upload', () => {
  test('that is given up leaves nothing', async () => {
    const upload = begin(30 * mib);
    await append(upload, contentOf(20 * mib));
    expect(server.uploads.size).toBe(1);
    await upload.abort();
    await upload.abort();
    expect(server.uploads.size).toBe(0);
    expect(stored()).toBeUndefined();
    await expect(upload.append(new Uint8Array(1))).rejects.toMatchObject({ errno: 'ECANCELED' });
  });

  test('of which somebody has taken away the parts is not complete', async () => {
    const upload = begin(30 * mib);
    await append(upload, contentOf(20 * mib));
    server.uploads.clear();
    await expect(upload.finish()).rejects.toMatchObject({
      errno: 'ENOENT',
      message: expect.stringContaining(`bucket 'bucket', key '${key}': NoSuchUpload`),
    });
    expect(stored()).toBeUndefined();
  });

  test('into a bucket that is not there fails at the first part', async () => {
    server.buckets.clear();
    await expect(append(begin(30 * mib), contentOf(9 * mib))).rejects.toThrow('NoSuchBucket (status 404)');
  });
});

test('parts are as large as it takes, and no larger', () => {
  expect(partBytesFor(0)).toBe(8 * mib);
  expect(partBytesFor(80_000 * mib)).toBe(8 * mib);
  expect(partBytesFor(80_000 * mib + 1)).toBe(9 * mib);
  expect(() => partBytesFor(6 * 2 ** 40)).toThrow('is too large');
});
