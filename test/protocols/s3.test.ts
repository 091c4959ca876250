/** Objects of object stores as images: read like any on a web server, and made by `img convert`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { filenameOf } from '../../host/block/filename.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { parseObjectName } from '../../host/protocols/s3/options.ts';
import { attachAlone } from '../support/attach.ts';
import { firstDifference } from '../support/bytes.ts';
import type { Outcome } from '../support/cli.ts';
import { runOwn } from '../support/own-tools.ts';
import { S3Server } from '../support/s3-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { kib, mib } from '../support/units.ts';

const scratch = scratchDirectory();
const program = builtProgram();
const content = Buffer.alloc(10 * mib);
for (let at = 0; at < 9 * mib; at += 4)
  if ((at >>> 18) % 3 > 0) content.writeInt32LE(Math.imul(at, 2_654_435_761), at);
let server: S3Server;
let host: string;

const img = (...args: string[]): Promise<Outcome> => runOwn('blockyard img', args);
const name = (key: string): string => `http+s3://${host}/bucket/${key}`;
const stored = (key: string): Buffer | undefined => server.bucket('bucket').get(key)?.content;

beforeAll(() => {
  writeFileSync(scratch('disk.raw'), content);
  writeFileSync(scratch('large.raw'), Buffer.alloc(40 * mib, 1));
});
beforeEach(async () => {
  server = new S3Server();
  const origin = await server.start();
  host = new URL(origin).host;
  server.bucket('bucket');
  vi.stubEnv('AWS_ACCESS_KEY_ID', server.keys.id);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.keys.secret);
  vi.stubEnv('AWS_ENDPOINT_URL', origin);
});
afterEach(() => server.stop());
afterAll(() => vi.unstubAllEnvs());

describe('names', () => {
  test.each([
    ['s3://bucket/key', undefined, 'bucket', 'key'],
    ['s3://bucket/a//b?x#y z', undefined, 'bucket', 'a//b?x#y z'],
    ['https+s3://host/bucket/a/b', 'https://host', 'bucket', 'a/b'],
    ['http+s3://[::1]:9000/bucket/k', 'http://[::1]:9000', 'bucket', 'k'],
  ])('%s', (url, endpoint, bucket, key) => {
    expect(parseObjectName(url)).toEqual({ endpoint, bucket, key });
  });

  test.each([
    ['s3://bucket', 'names no object'],
    ['s3://bucket/', 'names no object'],
    ['https+s3://host/bucket', 'names no object'],
    ['s3:///key', 'names no object'],
    ['s3://bucket/a/../b', "has '.' or '..' in it"],
    ['https+s3://user:hidden@host/b/k', 'no user and password'],
    ['https+s3://ho st/b/k', 'no address of an object store'],
  ])('%s is none', (url, words) => {
    expect(() => parseObjectName(url)).toThrow(words);
    expect(() => parseObjectName(url)).not.toThrow('hidden');
  });
});

describe('img convert', () => {
  test.each([
    ['raw', []],
    ['qcow2', []],
    ['qcow2', ['-c', '-o', 'compression_type=zstd']],
    ['qcow2', ['-o', 'cluster_size=16k,compat=0.10', '-S', '0']],
  ])('makes an object of %s by %j, and reads it', async (format, options) => {
    const made = await img(
      'convert',
      '-f',
      'raw',
      '-O',
      format,
      ...options,
      scratch('disk.raw'),
      name('a b/disk'),
    );
    expect(made).toEqual({ status: 0, stdout: '', stderr: '' });
    expect([...server.bucket('bucket').keys()]).toEqual(['a b/disk']);
    expect(server.uploads.size).toBe(0);
    if (format === 'raw') expect(firstDifference(stored('a b/disk')!, content)).toBe(-1); // it is there
    // By the other name.
    const read = await img('convert', '-O', 'raw', 's3://bucket/a b/disk', scratch('read.raw'));
    expect(read).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(firstDifference(readFileSync(scratch('read.raw')), content)).toBe(-1);
    const checked = await img('info', '--output', 'json', name('a b/disk'));
    expect(JSON.parse(checked.stdout)).toMatchObject({ format, 'virtual-size': content.length });
  });

  test('makes an object of an empty disk', async () => {
    writeFileSync(scratch('empty.raw'), '');
    for (const format of ['raw', 'qcow2'])
      expect(
        await img('convert', '-f', 'raw', '-O', format, scratch('empty.raw'), name(format)),
      ).toMatchObject({
        status: 0,
      });
    expect(stored('raw')).toHaveLength(0);
    expect((await img('check', name('qcow2'))).stdout).toContain('No errors were found');
  });

  test('leaves nothing, and what was there, when the store or the source fails', async () => {
    server.store('bucket', 'disk', Buffer.from('old'));
    let parts = 0;
    server.fault = ({ query }) => {
      if (query.has('partNumber') && ++parts === 2) server.uploads.clear();
      return undefined;
    };
    const outcome = await img('convert', '-f', 'raw', '-O', 'raw', scratch('disk.raw'), name('disk'));
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain("key 'disk': NoSuchUpload (status 404)");
    expect(stored('disk')).toEqual(Buffer.from('old'));
    server.fault = () => undefined;
    const broken = `driver=blkdebug,image.driver=file,image.filename=${scratch('disk.raw')},inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=18000`;
    const unread = await img('convert', '--image-opts', '-O', 'raw', broken, name('disk'));
    expect(unread.status).toBe(1);
    expect(unread.stderr).toContain('error while reading');
    expect(server.uploads.size).toBe(0);
    expect(stored('disk')).toEqual(Buffer.from('old'));
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    'leaves nothing when it is ended by %s',
    async (signal) => {
      const [node, main] = program();
      const args = ['convert', '-f', 'raw', '-O', 'raw', '-r', '4M', scratch('large.raw'), name('disk')];
      const child = spawn(node, [main, 'img', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      const ended = once(child, 'exit');
      await vi.waitUntil(() => server.uploads.size > 0 || child.exitCode !== null, { timeout: 60_000 });
      child.kill(signal);
      expect(await ended).toEqual([null, signal]);
      expect(server.uploads.size).toBe(0);
      expect(stored('disk')).toBeUndefined();
    },
    120_000,
  );

  test.each([
    [
      ['-O', 'qcow2', '-B', 'base', '-F', 'raw'],
      "Parameter 'backing_file' is not supported for an image that is written in order",
    ],
    [['-O', 'qcow2', '-o', 'preallocation=full'], "Parameter 'preallocation' is not supported"],
    [['-O', 'raw', '-W'], "'s3' objects are written from their beginning to their end: not with -W"],
    [['-O', 'raw', '-C'], 'not with -C'],
    [['-O', 'raw', '-t', 'none'], 'not with -t'],
    [['-O', 'qcow2', '--bitmaps'], 'not with --bitmaps'],
    [['-O', 'raw', '-c'], 'Compression not supported for this file format'],
    [['-O', 'raw', '--atomic'], "--atomic is for files, not for 's3'"],
    [['-O', 'raw', '-o', 'nonsense=1'], "'nonsense'"],
    [['-O', 'raw', '-n'], "'s3' driver can only read"],
  ])('refuses %j by name', async (options, words) => {
    writeFileSync(scratch('small.raw'), new Uint8Array(64 * kib));
    server.store('bucket', 'disk', Buffer.alloc(64 * kib));
    const calls = server.calls.length;
    const outcome = await img('convert', '-f', 'raw', ...options, scratch('small.raw'), name('disk'));
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(words);
    expect(server.calls.slice(calls).filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  test('is the only one that makes objects', async () => {
    expect((await img('create', '-f', 'raw', name('disk'), '1M')).stderr).toContain(
      "Protocol driver 's3' does not support image creation",
    );
  });

  test('takes its credentials from secrets, where they are said', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'another');
    const secret = ['--object', `secret,id=s,data=${server.keys.secret}`];
    const credentials = `key-id=${server.keys.id},key-secret=s`;
    const args = ['-f', 'raw', '-O', 'qcow2', '-o', credentials, scratch('disk.raw'), name('disk')];
    expect(await img('convert', ...secret, ...args)).toMatchObject({ status: 0, stderr: '' });
    const options = `driver=qcow2,file.driver=s3,file.url=${name('disk')},${credentials.replaceAll('key-', 'file.key-')}`;
    expect(await img('info', ...secret, '--image-opts', options)).toMatchObject({ status: 0, stderr: '' });
    const refused = await img('info', name('disk'));
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('InvalidAccessKeyId (status 403)');
  });
});

/** All of it; the node is gone then. */
async function readAll(node: BlockNode): Promise<Uint8Array> {
  const backend = await attachAlone(node, Perm.consistentRead);
  try {
    const found = new Uint8Array(node.length);
    for (let at = 0; at < found.length; at += mib) await backend.read(at, found.subarray(at, at + mib));
    return found;
  } finally {
    await backend.close();
  }
}

describe('a node', () => {
  const platform = (): typeof nodePlatform => ({ ...nodePlatform, environment: {} });

  test('reads an object by ranges, is asked for by whoever it says, and says so in its name', async () => {
    server.store('bucket', 'disk', content);
    server.region = 'eu-north-9';
    const graph = createGraph({ platform: platform(), drivers });
    objectTableOf(graph).set('s', { secret: new TextEncoder().encode(`${server.keys.secret}\n`) });
    const options = { driver: 's3', url: name('disk'), 'key-id': server.keys.id, 'key-secret': 's' };
    const node = await graph.open(options, { readOnly: true });
    expect(node.length).toBe(content.length);
    expect(filenameOf(node)).toMatch(/^json:.*"key-secret": "s"/);
    expect(firstDifference(await readAll(node), content)).toBe(-1);
    expect(server.calls.every(({ headers }) => headers.range !== undefined)).toBe(true);
  });

  test.each([
    [{ 'key-id': 'x' }, "'key-id' and 'key-secret' go together"],
    [{}, 'there are no credentials for the object store'],
    [{ 'key-id': 'x', 'key-secret': 'none' }, "No secret with id 'none'"],
    [{ 'key-id': 'x', 'key-secret': 's', 'read-only': false }, 'can only read'],
  ])('is refused with %j', async (more, words) => {
    const graph = createGraph({ platform: platform(), drivers });
    objectTableOf(graph).set('s', { secret: new Uint8Array([65]) });
    await expect(
      graph.open({ driver: 's3', url: name('disk'), ...more }, { readOnly: true }),
    ).rejects.toThrow(words);
  });

  test('fails when the object has changed', async () => {
    server.store('bucket', 'disk', content);
    const graph = createGraph({ platform: nodePlatform, drivers });
    const node = await graph.openFile(name('disk'), { flags: { readOnly: true } });
    server.store('bucket', 'disk', Buffer.alloc(content.length));
    await expect(readAll(node)).rejects.toThrow('has changed');
  });
});
