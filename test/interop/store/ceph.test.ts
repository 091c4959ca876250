/**
 * Repositories in a real object store, Ceph's gateway: made by us and by real restic, written by both, read by both, and whole when the
 * gateway was killed while a backup ran.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { openStore } from '../../../host/store/open-store.ts';
import { parseAddress } from '../../../host/store/s3/address.ts';
import { S3Client } from '../../../host/store/s3/client.ts';
import { diskContent } from '../../store/world.ts';
import { Ceph, cephKeys } from '../../support/ceph.ts';
import type { Outcome } from '../../support/cli.ts';
import { runOwn } from '../../support/own-tools.ts';
import { haveCeph, haveRestic } from '../../support/tools.ts';

const execute = promisify(execFile);

let ceph: Ceph | undefined;
let folder: string;
/** Each test has a place of its own. */
let places = 0;
let place: string;

const path = (name: string): string => join(folder, name);
const backup = async (...args: string[]): Promise<Outcome> => {
  const outcome = await runOwn('blockyard backup', args);
  expect(outcome).toMatchObject({ stderr: '', status: 0 });
  return outcome;
};
/** A gateway that is asked while this process does something else. */
const restic = async (...args: string[]): Promise<Buffer> =>
  (await execute('restic', ['--no-cache', ...args], { encoding: 'buffer', maxBuffer: 1 << 26 })).stdout;

describe.skipIf(!haveCeph || !haveRestic)("a repository in Ceph's object store", () => {
  beforeAll(async () => {
    ceph = await Ceph.start();
    vi.stubEnv('RESTIC_PASSWORD', 'secret');
    vi.stubEnv('AWS_ACCESS_KEY_ID', cephKeys.id);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', cephKeys.secret);
  }, 180_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await ceph?.stop();
  }, 60_000);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'blockyard-ceph-test-'));
    mkdirSync(path('out'));
    place = `s3:${ceph!.origin}/bucket-${places++}/a/prefix`;
    vi.stubEnv('RESTIC_REPOSITORY', place);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function restored(id: string, disk = 'hda'): Promise<Buffer> {
    await backup('restore', '-q', '--disk', disk, id, path('out'));
    const content = readFileSync(path('out/hda.raw'));
    rmSync(path('out/hda.raw'));
    return content;
  }

  test.each(['ours', 'restic'])(
    'made by %s is written and read by both',
    async (maker) => {
      if (maker === 'ours') await backup('init');
      else await restic('init', '--repository-version', '2');
      const content = diskContent(6 << 20, maker.length);
      writeFileSync(path('hda.raw'), content);
      await backup('run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw'));
      await restic('backup', '-q', path('hda.raw'));
      expect(String(await restic('check', '--read-data'))).toContain('no errors were found');
      await backup('check', '--read-data');
      const [first, second] = JSON.parse((await backup('snapshots', '--output', 'json')).stdout) as {
        id: string;
      }[];
      expect(Buffer.compare(await restic('dump', first!.id, '/m/hda.raw'), content)).toBe(0); // there are two
      expect(Buffer.compare(await restored(first!.id), content)).toBe(0);
      expect(Buffer.compare(await restored(second!.id, 'hda.raw'), content)).toBe(0);
      await restic('forget', '-q', '--prune', first!.id);
      expect(Buffer.compare(await restored(second!.id, 'hda.raw'), content)).toBe(0);
    },
    120_000,
  );

  test('is made once, where a bucket keeps no versions', async () => {
    await backup('init');
    const again = await runOwn('blockyard backup', ['init']);
    expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining('is a repository already') });
    const store = await openStore(place, nodePlatform);
    const bytes = new Uint8Array(8);
    const sha256 = await nodePlatform.hashes!.sha256(bytes); // Node has them
    expect(await store.putNew!('scratch', [bytes], sha256)).toBe(true);
    // It is what was to be put there.
    expect(await store.putNew!('scratch', [bytes], sha256)).toBe(true);
    const other = new Uint8Array(9);
    expect(await store.putNew!('scratch', [other], await nodePlatform.hashes!.sha256(other))).toBe(false);
  });

  test('in a bucket that keeps versions is like any other', async () => {
    const address = parseAddress(place.slice('s3:'.length));
    const settings = { bucketLookup: 'path', connections: 5, region: 'us-east-1' } as const;
    const credentials = { accessKeyId: cephKeys.id, secretAccessKey: cephKeys.secret };
    const client = new S3Client(nodePlatform, address, settings, credentials);
    await client.run({ method: 'PUT', key: '' });
    const body = new TextEncoder().encode(
      '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>',
    );
    await client.run({ method: 'PUT', key: '', query: { versioning: '' }, body });
    await backup('init');
    const content = diskContent(2 << 20, 9);
    writeFileSync(path('hda.raw'), content);
    await backup('run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw'));
    await backup('check', '--read-data');
    expect(String(await restic('check'))).toContain('no errors were found');
    expect(Buffer.compare(await restored('latest'), content)).toBe(0);
    // Locks that were removed are not there.
    expect(await (await openStore(place, nodePlatform)).list('locks')).toEqual([]);
  }, 60_000);

  test('is not opened by a key that is wrong, and says so in the words of the store', async () => {
    await backup('init');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wrong-and-hidden');
    const { status, stderr } = await runOwn('blockyard backup', ['snapshots']);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', cephKeys.secret);
    expect(status).toBe(1);
    expect(stderr).toContain('SignatureDoesNotMatch (status 403)');
    expect(stderr).not.toContain('hidden');
  });

  test('is beside objects that are images, which are made and read as such', async () => {
    await backup('init');
    const bucket = place.split('/')[3]!; // it has one
    const image = `${ceph!.origin.replace('http', 'http+s3')}/${bucket}/images/hda`;
    const content = diskContent(20 << 20, 6);
    writeFileSync(path('hda.raw'), content);
    const img = async (...args: string[]): Promise<void> =>
      void expect(await runOwn('blockyard img', args)).toMatchObject({ status: 0, stderr: '' });
    for (const options of [['raw'], ['qcow2'], ['qcow2', '-c']]) {
      await img('convert', '-f', 'raw', '-O', ...options, path('hda.raw'), image);
      await img('convert', '-O', 'raw', image, path('again.raw'));
      expect(Buffer.compare(readFileSync(path('again.raw')), content)).toBe(0);
    }
  }, 60_000);

  // The last one: a gateway that was killed is waited for by the next when that makes a bucket.
  test('is whole when the gateway was killed while a backup ran', async () => {
    await backup('init');
    const content = Buffer.alloc(48 << 20);
    for (let at = 0; at < content.length; at += 4)
      content.writeInt32LE(Math.imul(at, 2_654_435_761) ^ (at >>> 3), at);
    writeFileSync(path('hda.raw'), content);
    const running = runOwn('blockyard backup', ['run', '-q', '-f', 'raw', '--machine', 'm', path('hda.raw')]);
    const store = await openStore(place, nodePlatform);
    while ((await store.list('data')).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await ceph!.killGateway();
    await ceph!.startGateway();
    expect(await running).toMatchObject({ status: 0 });
    expect(String(await restic('check', '--read-data'))).toContain('no errors were found');
    expect(Buffer.compare(await restic('dump', 'latest', '/m/hda.raw'), content)).toBe(0);
  }, 120_000);
});
