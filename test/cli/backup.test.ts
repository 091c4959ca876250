/** `blockyard backup`: disks into a repository in a folder or an object store, and out again. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { diskContent } from '../store/world.ts';
import type { Outcome } from '../support/cli.ts';
import { runOwn } from '../support/own-tools.ts';
import { S3Server } from '../support/s3-server.ts';

let folder: string;
const path = (name: string): string => join(folder, name);
const backup = (...args: string[]): Promise<Outcome> => runOwn('blockyard backup', args);
const img = (...args: string[]): Promise<Outcome> => runOwn('blockyard img', args);

beforeAll(() => {
  vi.stubEnv('RESTIC_PASSWORD', 'secret');
});
afterAll(() => vi.unstubAllEnvs());
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'blockyard-backup-'));
  vi.stubEnv('RESTIC_REPOSITORY', path('repository'));
  mkdirSync(path('out'));
  writeFileSync(path('disk.raw'), diskContent(3 << 20, 1));
  expect(await backup('init')).toMatchObject({ status: 0 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('backup', () => {
  test('restores what it was given, in any format', async () => {
    await img('convert', '-f', 'raw', '-O', 'qcow2', '-c', path('disk.raw'), path('other.qcow2'));
    const run = ['run', '--machine', 'm', `hda=${path('disk.raw')}`, path('other.qcow2')];
    expect(await backup(...run)).toMatchObject({ status: 0, stderr: expect.not.stringContaining('error') });
    expect(await backup('restore', '-q', 'latest', path('out'))).toMatchObject({ status: 0, stdout: '' });
    expect(
      await backup('restore', '-q', '--disk', 'hda', '-O', 'qcow2', 'latest', path('out')),
    ).toMatchObject({ status: 0 });
    expect(readdirSync(path('out')).sort()).toEqual(['hda.qcow2', 'hda.raw', 'other.raw']);
    for (const restored of readdirSync(path('out')))
      expect(await img('compare', path('disk.raw'), join(path('out'), restored))).toMatchObject({
        status: 0,
      });
    expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
    expect(readdirSync(path('repository/locks'))).toEqual([]);
  });

  test('lists what there is', async () => {
    await backup('run', '-q', '--machine', 'm', path('disk.raw'));
    await backup('run', '-q', '--machine', 'n', `x=${path('disk.raw')}`);
    const all = JSON.parse((await backup('snapshots', '--output', 'json')).stdout) as { machine: string }[];
    expect(all).toMatchObject([
      { machine: 'm', disks: [{ name: 'disk', size: 3 << 20 }] },
      { machine: 'n', disks: [{ name: 'x', size: 3 << 20 }] },
    ]);
    expect((await backup('snapshots', '--machine', 'n')).stdout).toMatch(
      /^ID .*\n\w{8} .* n +x \(3145728\)\n$/,
    );
  });

  test('stores nothing anew that has not changed', async () => {
    await backup('run', '-q', '--machine', 'm', path('disk.raw'));
    const { stdout } = await backup('run', '--machine', 'm', path('disk.raw'));
    expect(stdout).toMatch(/^snapshot \w{8}: [\d.]+ K?i?B new, 3 MiB known, [\d.]+ K?i?B stored\n$/);
  });

  test('says what is wrong with a repository, and ends with status 1', async () => {
    await backup('run', '-q', '--machine', 'm', path('disk.raw'));
    const packs = readdirSync(path('repository/data'), { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile(),
    );
    const largest = packs
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0]!; // there are some
    const content = readFileSync(largest);
    content[1000]! ^= 1;
    writeFileSync(largest, content);
    expect(await backup('check')).toMatchObject({ status: 0 });
    const found = await backup('check', '--read-data');
    expect(found).toMatchObject({ status: 1, stdout: '1 errors were found: 1 snapshots, 2 packs\n' });
    expect(found.stderr).toContain('is not what its name says');
    const restored = await backup('restore', 'latest', path('out'));
    expect(restored.status).toBe(1);
    expect(restored.stderr).toContain('authentication code is wrong');
    expect(readdirSync(path('out'))).toEqual([]);
  });
});

describe('backup restore', () => {
  const compare = (image: string, format: string): Promise<Outcome> =>
    img('compare', '-f', 'raw', '-F', format, path('disk.raw'), path(image));

  beforeEach(async () => {
    await backup('run', '-q', '--machine', 'm', `hda=${path('disk.raw')}`, `hdb=${path('disk.raw')}`);
  });

  test('puts each disk where it is said to belong, and the others into the folder, if there is one', async () => {
    const one = await backup('restore', '-O', 'qcow2', 'latest', `hda=${path('a.qcow2')}`);
    expect(one).toMatchObject({ status: 0, stdout: `restored ${path('a.qcow2')}\n` });
    expect(await compare('a.qcow2', 'qcow2')).toMatchObject({ status: 0 });
    expect(await backup('restore', 'latest', path('out'), `hda=${path('b')}`)).toMatchObject({ status: 0 });
    expect(await compare('b', 'raw')).toMatchObject({ status: 0 });
    expect(readdirSync(path('out'))).toEqual(['hdb.raw']);
  });

  test('writes what differs into an image that is there, and nothing else', async () => {
    const changed = readFileSync(path('disk.raw'));
    changed.fill(0xee, (1 << 20) + 5, (1 << 20) + 6);
    writeFileSync(path('old.raw'), changed);
    await img('convert', '-f', 'raw', '-O', 'qcow2', path('old.raw'), path('old.qcow2'));
    const inPlace = (...more: string[]): Promise<Outcome> => backup('restore', '-n', ...more);
    const first = await inPlace('-O', 'raw', 'latest', `hda=${path('old.raw')}`);
    expect(first).toMatchObject({
      status: 0,
      stdout: `restored ${path('old.raw')}: 1 MiB of 3 MiB differed\n`,
    });
    const options = `hdb=driver=qcow2,file.filename=${path('old.qcow2')}`;
    expect(await inPlace('--target-image-opts', 'latest', options)).toMatchObject({ status: 0 });
    expect(await compare('old.raw', 'raw')).toMatchObject({ status: 0 });
    expect(await compare('old.qcow2', 'qcow2')).toMatchObject({ status: 0 });
    const again = await inPlace('-O', 'raw', 'latest', `hda=${path('old.raw')}`);
    expect(again.stdout).toContain(': 0 B of 3 MiB differed');
  });

  test.each([
    [['latest'], 'a folder or DISK=IMAGE'],
    [['latest', 'hda=a', 'hda=b'], "Where is 'hda' to be restored to? It is named twice"],
    [['--disk', 'hdb', 'latest', 'hda=a'], "Where is 'hdb' to be restored to?"],
    [['latest', '.', 'x'], 'Unexpected argument: x; expecting DISK=IMAGE'],
    [['latest', 'hdc=a'], "There is no disk 'hdc' in snapshot"],
    [['-n', 'latest', 'hda=a'], 'which format have they? Use -O'],
    [['--target-image-opts', 'latest', 'hda=driver=raw'], '--target-image-opts requires use of -n flag'],
    [['-n', '-O', 'raw', '--target-image-opts', 'latest', 'hda=a'], 'mutually exclusive'],
    [['-n', '-O', 'raw', 'latest', 'hda=/none'], '/none'],
    [['zz', '.'], "'zz' is no snapshot"],
  ] as const)('refuses %j', async (args, words) => {
    const { status, stderr } = await backup('restore', ...args);
    expect(status).toBe(1);
    expect(stderr).toContain(words);
  });

  test('refuses an image that is too short', async () => {
    writeFileSync(path('short.raw'), new Uint8Array(1 << 20));
    const { status, stderr } = await backup(
      'restore',
      '-n',
      '-O',
      'raw',
      'latest',
      `hda=${path('short.raw')}`,
    );
    expect(status).toBe(1);
    expect(stderr).toContain('it has 1048576 bytes, and the disk has 3145728');
  });
});

describe('a disk in a repository', () => {
  test('is an image for every command, and the base of an overlay', async () => {
    await backup('run', '-q', '--machine', 'm', `hda=${path('disk.raw')}`);
    writeFileSync(path('password'), 'secret\n');
    const secret = ['--object', `secret,id=s0,file=${path('password')}`];
    const stored = `driver=store,repository=${path('repository')},disk=m/hda,password-secret=s0`;
    const compared = await img(
      'compare',
      ...secret,
      '--image-opts',
      stored,
      `driver=raw,file.filename=${path('disk.raw')}`,
    );
    expect(compared).toMatchObject({ status: 0, stderr: '' });
    const { stdout } = await img('info', ...secret, '--image-opts', stored);
    expect(stdout).toMatch(/"snapshot": "[0-9a-f]{64}"/);
    expect(stdout).not.toContain('secret\n');
    expect(
      await img('convert', ...secret, '--image-opts', '-O', 'qcow2', stored, path('x.qcow2')),
    ).toMatchObject({
      status: 0,
    });
    expect(await img('compare', path('disk.raw'), path('x.qcow2'))).toMatchObject({ status: 0 });
  });
});

describe('backup refuses', () => {
  test.each([
    [['run', '--machine', 'm', 'a.raw', 'b/a.qcow2'], "Two disks would be called 'a'"],
    [['run', '--machine', '../m', 'a.raw'], "'../m' has other characters"],
    [['run', 'a.raw'], 'Which machine is it?'],
    [['run', '--machine', 'm'], 'Expecting image file names'],
    [['run', '--machine', 'm', '/none'], "Could not open '/none': No such file or directory"],
    [['restore', 'latest'], 'a folder'],
    [['restore', 'latest', '.'], "There is no snapshot 'latest'"],
    [['restore', '--machine', 'q', 'latest', '.'], "There is no snapshot 'latest' of q"],
    [['check', '--read-data-subset', '0%'], "expects a percentage like '10%', not '0%'"],
    [['check', 'x'], 'Unexpected argument: x'],
    [['check', '--machine', 'm'], '--machine says which machine is to be started: use --boot'],
    [['check', '--boot', 'x', '--boot-timeout', '0'], 'Invalid boot timeout specified'],
    [['check', '--boot', 'x', '--machine', 'm'], "There is no snapshot of 'm'"],
    [['snapshots', 'x'], 'Unexpected argument: x'],
    [['snapshots', '-r', '/none/of/these'], 'is no repository: there are no keys'],
    [['snapshots', '-r', 'sftp:host:/x'], 'repositories by sftp are not supported'],
    [['snapshots', '--password-file', '/none'], "Could not read the password file '/none'"],
    [['init'], 'is a repository already'],
    [['chek'], "Did you mean 'check'?"],
  ] as const)('%j', async (args, words) => {
    const { status, stderr } = await backup(...args);
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('secret');
  });

  test('to make an image where there is a file', async () => {
    await backup('run', '-q', '--machine', 'm', path('disk.raw'));
    writeFileSync(path('out/disk.raw'), 'precious');
    expect(await backup('restore', 'latest', path('out'))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("disk.raw' is there already"),
    });
    expect(readFileSync(path('out/disk.raw'), 'utf8')).toBe('precious');
  });

  test('a password that is none, and takes one from everywhere that restic does', async () => {
    const opens = (): Promise<Outcome> => backup('snapshots');
    vi.stubEnv('RESTIC_PASSWORD', 'other');
    expect((await opens()).stderr).toContain('the password opens none of the keys');
    vi.stubEnv('RESTIC_PASSWORD_COMMAND', `sh -c "echo secret"`);
    expect(await opens()).toMatchObject({ status: 0 });
    vi.stubEnv('RESTIC_PASSWORD_COMMAND', 'false');
    expect((await opens()).stderr).toContain("RESTIC_PASSWORD_COMMAND: 'false' failed (1)");
    writeFileSync(path('password'), 'secret\n');
    vi.stubEnv('RESTIC_PASSWORD_FILE', path('password'));
    expect(await opens()).toMatchObject({ status: 0 });
    vi.stubEnv('RESTIC_PASSWORD_FILE', undefined);
    vi.stubEnv('RESTIC_PASSWORD_COMMAND', undefined);
    vi.stubEnv('RESTIC_PASSWORD', undefined);
    expect((await opens()).stderr).toContain('No password');
    vi.stubEnv('RESTIC_PASSWORD', 'secret');
  });
});

describe('backup to an object store', () => {
  const server = new S3Server();
  const { id, secret } = server.keys;

  beforeEach(async () => {
    const origin = await server.start();
    vi.stubEnv('RESTIC_REPOSITORY', `s3:${origin}/bucket/prefix`);
    vi.stubEnv('AWS_ACCESS_KEY_ID', id);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', secret);
    server.buckets.clear();
    server.fault = () => undefined;
  });
  afterEach(() => server.stop());

  test('restores what it was given, and says when the store was busy', async () => {
    expect(await backup('init')).toMatchObject({ status: 0, stderr: '' });
    let left = 1;
    server.fault = ({ method, key }) =>
      method === 'PUT' && key.includes('/data/') && left-- > 0 ? 'slow-down' : undefined;
    const ran = await backup('run', '-q', '-o', 's3.connections=2', '--machine', 'm', path('disk.raw'));
    expect(ran).toMatchObject({ status: 0, stderr: expect.stringContaining('SlowDown (status 503)') });
    expect((await backup('snapshots')).stdout).toContain('disk (3145728)');
    expect(await backup('check', '--read-data')).toMatchObject({ status: 0 });
    expect(await backup('restore', '-q', 'latest', path('out'))).toMatchObject({ status: 0, stderr: '' });
    expect(Buffer.compare(readFileSync(path('out/disk.raw')), readFileSync(path('disk.raw')))).toBe(0);
    expect([...server.bucket('bucket').keys()].filter((key) => key.includes('/locks/'))).toEqual([]);
  });

  test.each([
    [{}, ['snapshots'], "bucket 'bucket': NoSuchBucket (status 404)"],
    [{ AWS_SECRET_ACCESS_KEY: 'wrong-and-hidden' }, ['snapshots'], 'SignatureDoesNotMatch (status 403)'],
    [
      { AWS_SECRET_ACCESS_KEY: '' },
      ['snapshots'],
      'AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not',
    ],
    [{}, ['snapshots', '-o', 's3.layout=x'], "Option 's3.layout' is not supported"],
    [{}, ['snapshots', '-o', 's3.connections'], "-o expects NAME=VALUE, not 's3.connections'"],
    [{}, ['snapshots', '-r', 's3:host'], "'host' names no bucket"],
    [
      {},
      ['snapshots', '-r', '/none', '-o', 's3.region=x'],
      "Option 's3.region' is not one of a repository in a folder",
    ],
  ] as const)('with %j refuses %j', async (environment, args, words) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    const { status, stderr } = await backup(...args);
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(stderr).not.toMatch(/hidden|secret\+/);
  });
});
