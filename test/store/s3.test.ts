/** Repositories in an object store, which fails in all the ways that stores do: what was told to be there is, and nobody hangs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createDeferred } from '../../host/base/deferred.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Fetch, Platform } from '../../host/platform/platform.ts';
import { checkRepository } from '../../host/store/check.ts';
import { DiskReader } from '../../host/store/disk-reader.ts';
import { disksOf } from '../../host/store/machine.ts';
import { openStore } from '../../host/store/open-store.ts';
import { Repository } from '../../host/store/repository.ts';
import { bucketUrl, objectUrl, parseAddress, regionOf } from '../../host/store/s3/address.ts';
import { readCredentials } from '../../host/store/s3/credentials.ts';
import { elements, textOf } from '../../host/store/s3/xml.ts';
import { hastyClock } from '../support/hasty-clock.ts';
import { type S3Fault, S3Server } from '../support/s3-server.ts';
import { Seeded } from '../support/seeded.ts';
import { backUp, diskContent, newRepository, platform as ofRepositories, owner, password } from './world.ts';

let server: S3Server;
let origin: string;
let warnings: string[];

beforeEach(async () => {
  server = new S3Server();
  origin = await server.start();
  warnings = [];
});
afterEach(() => server.stop());

function world(more: Partial<Platform> = {}): Platform {
  const { id, secret, token } = server.keys;
  return {
    ...nodePlatform,
    clock: hastyClock,
    console: { ...nodePlatform.console, warn: (line) => void warnings.push(line) },
    environment: { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token },
    ...more,
  };
}

const open = (name = 'bucket/a b/ü+c', more?: Partial<Platform>, options: Record<string, string> = {}) =>
  openStore(`s3:${origin}/${name}`, world(more), new Map(Object.entries(options)));

const hashOf = async (bytes: Uint8Array): Promise<Uint8Array> => ofRepositories.hashes.sha256(bytes);

async function contentOf(repository: Repository, id: string): Promise<Uint8Array> {
  const [disk] = await disksOf(repository, await repository.readSnapshot(id));
  const reader = await DiskReader.open(repository, disk!.file); // there is one
  const content = new Uint8Array(reader.layout.bytes);
  await reader.read(0, content);
  return content;
}

/** A backup into a new repository, checked and read again by another. */
async function roundTrip(more?: Partial<Platform>): Promise<void> {
  const disk = diskContent((2 << 20) + 512, 1);
  const { repository } = await newRepository(await open(undefined, more));
  const id = await backUp(repository, { hda: disk });
  const again = await Repository.open(ofRepositories, await open(undefined, more), password);
  expect(await checkRepository(again, { readData: 1 })).toMatchObject({
    errors: [],
    snapshots: 1,
    orphans: 0,
  });
  expect(Buffer.compare(await contentOf(again, id), disk)).toBe(0);
}

describe('names', () => {
  test.each([
    ['host/bucket', 'https://host', 'bucket', ''],
    ['//host/bucket/', 'https://host', 'bucket', ''],
    ['http://host:9000/bucket/a//b/./c', 'http://host:9000', 'bucket', 'a/b/c/'],
    ['https://host/bucket/x', 'https://host', 'bucket', 'x/'],
    ['[::1]:80/b/x', 'https://[::1]:80', 'b', 'x/'],
  ])('%s', (name, endpoint, bucket, prefix) => {
    expect(parseAddress(name)).toEqual({ endpoint, bucket, prefix });
  });

  test.each([
    ['host', 'names no bucket'],
    ['', 'is no address'],
    ['http://host/b/../c', "has '..' in it"],
    ['http://host/b?x', 'is no address'],
    ['http://user:hidden@host/b', 'has no user and password'],
  ])('%s is none', (name, words) => {
    expect(() => parseAddress(name)).toThrow(words);
    expect(() => parseAddress(name)).not.toThrow('hidden');
  });

  test.each([
    ['https://s3.amazonaws.com', 'bucket', 'auto', 'https://bucket.s3.amazonaws.com'],
    ['https://s3.eu-west-3.amazonaws.com', 'a.bucket', 'auto', 'https://s3.eu-west-3.amazonaws.com/a.bucket'],
    ['https://s3.amazonaws.com', 'bucket', 'path', 'https://s3.amazonaws.com/bucket'],
    ['http://host:9000', 'bucket', 'auto', 'http://host:9000/bucket'],
    ['http://host:9000', 'bucket', 'dns', 'http://bucket.host:9000'],
  ] as const)('%s/%s is found by %s', (endpoint, bucket, lookup, url) => {
    expect(bucketUrl({ endpoint, bucket, prefix: '' }, lookup)).toBe(url);
  });

  test('tell the region of a host that has one', () => {
    const region = (endpoint: string) => regionOf({ endpoint, bucket: 'b', prefix: '' });
    expect(region('https://s3.eu-west-3.amazonaws.com')).toBe('eu-west-3');
    expect(region('https://s3.dualstack.us-gov-west-1.amazonaws.com')).toBe('us-gov-west-1');
    expect(region('https://s3.amazonaws.com')).toBeUndefined();
    expect(region('https://s3.example.org')).toBeUndefined();
  });

  test('are encoded as signatures are', () => {
    expect(objectUrl('http://h/b', "a b/ü+(c)'!*~", { x: 'a/b c', y: '' })).toBe(
      'http://h/b/a%20b/%C3%BC%2B%28c%29%27%21%2A~?x=a%2Fb%20c&y=',
    );
  });
});

describe('XML', () => {
  test('is read as far as it is needed', () => {
    const xml =
      '<?xml?><R a="1"><KeyX>no</KeyX><Key>a &lt;&#65;&#x42;&amp;amp; &nope; b</Key><Key/><I b="2">x</I></R>';
    expect(textOf(xml, 'Key')).toBe('a <AB&amp; &nope; b');
    expect([...elements(xml, 'I')]).toEqual(['x']);
    expect(textOf(xml, 'None')).toBeUndefined();
  });

  test('that never ends is left in time', () => {
    const xml = '<Contents>'.repeat(1 << 17);
    expect([...elements(xml, 'Contents')]).toEqual([]);
    expect([...elements('<Contents '.repeat(1 << 17), 'Contents')]).toEqual([]);
  });
});

describe('credentials', () => {
  const files = { ...nodePlatform.files, open: vi.fn(nodePlatform.files.open) };

  test('come from the environment', async () => {
    expect(
      await readCredentials(
        { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_SESSION_TOKEN: 'c' },
        files,
      ),
    ).toEqual({ accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c' });
    expect(await readCredentials({ MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 'b' }, files)).toEqual({
      accessKeyId: 'a',
      secretAccessKey: 'b',
    });
    expect(files.open).not.toHaveBeenCalled();
  });

  test('come from the file of profiles', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'blockyard-credentials-'));
    try {
      const AWS_SHARED_CREDENTIALS_FILE = join(folder, 'credentials');
      writeFileSync(
        AWS_SHARED_CREDENTIALS_FILE,
        '[default]\naws_access_key_id = a\naws_secret_access_key=b\n\n[ other ]\r\naws_access_key_id=c\r\naws_secret_access_key = d=\r\naws_session_token=e\r\n',
      );
      const read = (more: object = {}) =>
        readCredentials({ AWS_SHARED_CREDENTIALS_FILE, ...more }, nodePlatform.files);
      expect(await read()).toEqual({ accessKeyId: 'a', secretAccessKey: 'b' });
      expect(await read({ AWS_PROFILE: 'other' })).toEqual({
        accessKeyId: 'c',
        secretAccessKey: 'd=',
        sessionToken: 'e',
      });
      await expect(read({ AWS_PROFILE: 'none' })).rejects.toThrow("no keys for AWS_PROFILE 'none'");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('that are half there, or not at all, are asked for by name', async () => {
    await expect(readCredentials({ AWS_ACCESS_KEY_ID: 'a' }, files)).rejects.toThrow(
      'AWS_SECRET_ACCESS_KEY is not',
    );
    await expect(readCredentials({ AWS_SECRET_ACCESS_KEY: 'hidden' }, files)).rejects.toThrow(
      'AWS_ACCESS_KEY_ID is not',
    );
    await expect(readCredentials({ HOME: '/none' }, files)).rejects.toMatchObject({ errno: 'EACCES' });
  });
});

describe('a repository in an object store', () => {
  test('gives back what was put in', () => roundTrip());

  test('is written by somebody who is let in for a while', async () => {
    server.keys.token = 'a//token==';
    await roundTrip();
  });

  test('is found by the name of the host', async () => {
    const fetch: Fetch = (url, request) => fetchOf(new URL(server.origin), url, request);
    origin = 'http://s3.test';
    const store = await open('bucket/x', { fetch }, { 's3.bucket-lookup': 'dns' });
    await newRepository(store);
    expect(server.bucket('bucket').has('x/config')).toBe(true);
  });

  test('makes the bucket that it is to be in, and is not found without one', async () => {
    const opening = Repository.open(ofRepositories, await open(), password);
    await expect(opening).rejects.toMatchObject({
      errno: 'ENOENT',
      message: expect.stringContaining("bucket 'bucket'"),
    });
    await expect(opening).rejects.toThrow('NoSuchBucket (status 404)');
    await newRepository(await open());
    expect([...server.buckets.keys()]).toEqual(['bucket']);
  });

  test('is listed in pages', async () => {
    server.pageSize = 3;
    server.bucket('bucket');
    const store = await open('bucket/p');
    const names = Array.from({ length: 10 }, (_, i) => `data/${i}/&<é +${i}`);
    for (const name of names) await store.put(name, [new Uint8Array(3)], await hashOf(new Uint8Array(3)));
    server.store('bucket', 'p/database', Buffer.from('another folder'));
    const listed = await store.list('data');
    expect(listed.map(({ name }) => name).sort()).toEqual(names.sort());
    expect(new Set(listed.map(({ bytes }) => bytes))).toEqual(new Set([3]));
    expect(await store.list('none')).toEqual([]);
    for (const name of names) await store.remove(name);
    await store.remove(names[0]!);
    expect(await store.list('data')).toEqual([]);
  });

  test('rests on no ETag and on no condition', async () => {
    server.hasOddEtags = true;
    server.honoursConditions = false;
    await roundTrip();
  });

  test('is made once by two at a time, where the store can tell', async () => {
    server.bucket('bucket');
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map(async () => Repository.init(ofRepositories, await open(), password, owner)),
    );
    const failed = outcomes.filter(({ status }) => status === 'rejected');
    expect(failed).toHaveLength(2);
    for (const { reason } of failed as PromiseRejectedResult[])
      expect(reason).toMatchObject({ errno: 'EEXIST' });
    await Repository.open(ofRepositories, await open(), password);
  });

  test('is made, although the answer that it is was lost', async () => {
    server.bucket('bucket');
    let left = 1;
    server.fault = ({ method, key }) =>
      method === 'PUT' && key.endsWith('config') && left-- > 0 ? 'reset-after' : undefined;
    await Repository.init(ofRepositories, await open(), password, owner);
  });

  test('takes as many connections as it may', async () => {
    const { repository } = await newRepository(await open(undefined, undefined, { 's3.connections': '2' }));
    const id = await backUp(repository, { hda: diskContent(1 << 20, 3) });
    const { promise, resolve } = createDeferred();
    server.gate = promise;
    const reading = Promise.all(Array.from({ length: 40 }, () => repository.readSnapshot(id)));
    await vi.waitFor(() => expect(server.most).toBe(2));
    resolve();
    await reading;
    expect(server.most).toBe(2);
  });
});

describe('a store that fails for a while', () => {
  const kinds: S3Fault[] = [
    'slow-down',
    'internal-error',
    'reset',
    'reset-after',
    'half-upload',
    'half-answer',
  ];

  test.each(kinds)('by %s is asked again', async (kind) => {
    server.bucket('bucket');
    const seeded = new Seeded(kinds.indexOf(kind) + 1);
    server.fault = ({ method }) => {
      if (kind === 'half-upload' && method !== 'PUT') return undefined;
      if (kind === 'half-answer' && method !== 'GET') return undefined;
      return seeded.oneIn(3) ? kind : undefined;
    };
    await roundTrip();
    expect(server.calls.length).toBeGreaterThan(20);
  });

  test('is told of', async () => {
    let left = 3;
    server.bucket('bucket');
    server.fault = () => (left-- > 0 ? 'slow-down' : undefined);
    await (await open()).list('keys');
    expect(warnings).toEqual([
      `bucket 'bucket' of ${origin}: SlowDown (status 503): Please reduce your request rate.; trying again`,
    ]);
  });

  test('and has not answered before is soon given up', async () => {
    server.fault = () => 'reset';
    const store = await open();
    await expect(store.list('keys')).rejects.toThrow(/^bucket 'bucket': /);
    expect(server.calls).toHaveLength(4);
  });
});

describe('a clock', () => {
  test.each([20 * 60, -20 * 60])('that is off by %i seconds is corrected once', async (seconds) => {
    server.aheadSeconds = seconds;
    await roundTrip();
    const how = seconds > 0 ? 'behind' : 'ahead of';
    expect(warnings).toEqual(
      Array(2).fill(`the clock of this computer is 20 minutes ${how} that of ${origin}`),
    );
  });

  test('that is set while a repository is open is corrected again', async () => {
    server.bucket('bucket');
    server.aheadSeconds = 20 * 60;
    const store = await open();
    await store.list('keys');
    server.aheadSeconds = 60 * 60;
    await store.list('keys');
    expect(warnings).toHaveLength(2);
  });

  test('of which the store says another than it goes by ends it', async () => {
    server.bucket('bucket');
    server.aheadSeconds = 20 * 60;
    server.tellsTime = false;
    await expect((await open()).list('keys')).rejects.toThrow('RequestTimeTooSkewed (status 403)');
    expect(server.calls).toHaveLength(2);
  });
});

test('a region that is another is taken from what the store says', async () => {
  server.region = 'eu-central-7';
  await roundTrip();
});

describe('what a store refuses is told, without secrets', () => {
  const bytes = new TextEncoder().encode('content');

  test('a key that is wrong', async () => {
    const environment = { AWS_ACCESS_KEY_ID: 'TESTKEY', AWS_SECRET_ACCESS_KEY: 'wrong-and-hidden' };
    const store = await open(undefined, { environment });
    const reading = store.get('config', 100);
    await expect(reading).rejects.toMatchObject({
      errno: 'EACCES',
      message:
        "bucket 'bucket', key 'a b/ü+c/config': SignatureDoesNotMatch (status 403): Check your key and signing method",
    });
  });

  test('what is not there, too long, or ends before', async () => {
    const store = await open();
    await newRepository(store);
    await store.put('x', [bytes], await hashOf(bytes));
    await expect(store.get('none', 100)).rejects.toMatchObject({ errno: 'ENOENT' });
    await expect(store.get('x', 3)).rejects.toMatchObject({ errno: 'EFBIG' });
    await expect(store.getRange('x', 5, 10)).rejects.toMatchObject({ errno: 'EIO' });
    await expect(store.getRange('x', 50, 10)).rejects.toMatchObject({ errno: 'EIO' });
    expect(Buffer.from(await store.getRange('x', 2, 3)).toString()).toBe('nte');
    expect(await store.getRange('x', 7, 0)).toHaveLength(0);
  });

  test('content that is not what was signed', async () => {
    const store = await open();
    await newRepository(store);
    await expect(store.put('x', [bytes], await hashOf(new Uint8Array()))).rejects.toThrow(
      'XAmzContentSHA256Mismatch',
    );
    await expect(store.get('x', 100)).rejects.toMatchObject({ errno: 'ENOENT' });
  });

  test('a range that is answered by another', async () => {
    const store = await open();
    await newRepository(store);
    await store.put('x', [bytes], await hashOf(bytes));
    server.fault = () => 'whole';
    await expect(store.getRange('x', 2, 3)).rejects.toThrow('does not answer with bytes from 2 on');
  });

  test('options that there are not', async () => {
    await expect(open(undefined, undefined, { 's3.layout': 'x' })).rejects.toThrow(
      "Option 's3.layout' is not supported",
    );
    await expect(open(undefined, undefined, { 's3.connections': '0' })).rejects.toThrow("not '0'");
    await expect(open(undefined, undefined, { 's3.bucket-lookup': 'x' })).rejects.toThrow("not 'x'");
    await expect(openStore('/folder', world(), new Map([['s3.region', 'x']]))).rejects.toThrow(
      "'s3.region' is not one",
    );
    await expect(openStore('b2:x', world())).rejects.toMatchObject({ errno: 'ENOTSUP' });
  });
});

/** As `fetch`, of whatever host at the server: what is signed is the name that the request has. */
async function fetchOf(
  { hostname, port }: URL,
  url: string,
  { method, headers, body }: Parameters<Fetch>[1],
): ReturnType<Fetch> {
  const { host, pathname, search } = new URL(url);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const path = `${pathname}${search}`;
    const asked = httpRequest({ hostname, port, method, path, headers: { ...headers, host } }, resolve);
    asked.on('error', reject).end(body);
  });
  return {
    status: response.statusCode ?? 0,
    headers: { get: (name) => response.headers[name]?.toString() ?? null },
    body: Readable.toWeb(response) as unknown as Awaited<ReturnType<Fetch>>['body'],
  };
}
