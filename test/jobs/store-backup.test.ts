/** x-store-backup: disks that are written to, as snapshots of a repository; how it is steered, and what is left when it fails. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { withObjectOptions } from '../../host/cli/shared/object-types.ts';
import { drivers } from '../../host/drivers.ts';
import { hostObjectTypes } from '../../host/objects/host-types.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { QmpClient } from '../../host/qmp/client.ts';
import { storageDaemonCommands } from '../../host/qmp/commands/storage-daemon.ts';
import { withRepositories } from '../../host/qmp/repositories.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { checkRepository } from '../../host/store/check.ts';
import { DiskReader } from '../../host/store/disk-reader.ts';
import { disksOf } from '../../host/store/machine.ts';
import { openStore } from '../../host/store/open-store.ts';
import { Repository } from '../../host/store/repository.ts';
import { owner, password, platform as repositoryPlatform } from '../store/world.ts';
import { attach } from '../support/attach.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { kib, mib } from '../support/units.ts';

const path = scratchDirectory();
const diskBytes = 3 * mib + 4 * kib;
let count = 0;
let folder: string;
let server: QmpServer;
let qmp: QmpClient;
let repository: Repository;
let guests: Record<string, BlockBackend>;

beforeEach(async () => {
  folder = path(`${++count}`);
  mkdirSync(folder);
  const platform = { ...nodePlatform, hashes: repositoryPlatform.hashes };
  repository = await Repository.init(
    repositoryPlatform,
    await openStore(`${folder}/repository`, platform),
    password,
    owner,
  );
  server = new QmpServer({
    ...{ platform, drivers, objectTypes: hostObjectTypes },
    commands: withRepositories(withObjectOptions(storageDaemonCommands)),
  });
  const [ours, theirs] = joinedConnections();
  server.connect(theirs);
  qmp = await QmpClient.connect(ours);
  guests = {};
  for (const name of ['a', 'b']) {
    await qmp.run('blockdev-add', { driver: 'memory', 'node-name': name, size: diskBytes });
    guests[name] = await attach(server.graph.getNode(name));
  }
  await qmp.run('object-add', { 'qom-type': 'secret', id: 'key', data: password });
});
afterEach(async () => {
  for (const guest of Object.values(guests)) await guest.close();
  await server.close();
});

const disks = [{ device: 'a' }, { device: 'b', name: 'second' }];
const start = (more: object = {}): Promise<unknown> => qmp.run('x-store-backup', { ...storeData(), ...more });

const ended = (): Promise<string> =>
  new Promise((resolve) => {
    for (const name of ['BLOCK_JOB_COMPLETED', 'BLOCK_JOB_CANCELLED'])
      qmp.on(name, ({ event, data }) => resolve(String(data['error'] ?? event)));
  });

async function backUp(more: object = {}): Promise<string> {
  const end = ended();
  await start(more);
  return end;
}

/** The latest snapshot's disks, one behind the other. */
async function latest(): Promise<Buffer> {
  repository.forgetIndex();
  const snapshots = await repository.snapshots();
  const parts: Uint8Array[] = [];
  for (const { file } of await disksOf(repository, snapshots.at(-1)!)) {
    // there is one
    const reader = await DiskReader.open(repository, file);
    const content = new Uint8Array(reader.layout.bytes);
    await reader.read(0, content);
    parts.push(content);
  }
  return Buffer.concat(parts);
}

async function current(): Promise<Buffer> {
  const parts = [guests['a']!, guests['b']!].map(async (guest) => {
    // there are two
    const content = Buffer.alloc(guest.length);
    await guest.read(0, content);
    return content;
  });
  return Buffer.concat(await Promise.all(parts));
}

async function scribble(seeded: Seeded, writes: number): Promise<void> {
  for (let i = 0; i < writes; i++) {
    const guest = guests[seeded.oneIn(2) ? 'a' : 'b']!; // there are two
    const offset = 512 * seeded.below(guest.length / 512);
    const bytes = Math.min(512 * (1 + seeded.below(400)), guest.length - offset);
    const kind = seeded.below(8);
    if (kind < 2) await guest.writeZeroes(offset, bytes);
    else if (kind === 2) await guest.discard(offset, bytes);
    else await guest.write(offset, new Uint8Array(bytes).fill(1 + seeded.below(250)));
  }
}

const bitmaps = async (): Promise<string[]> => {
  const nodes = (await qmp.run('query-named-block-nodes', { flat: true })) as unknown as {
    'dirty-bitmaps'?: { name: string }[];
  }[];
  return nodes.flatMap((node) => node['dirty-bitmaps'] ?? []).map(({ name }) => name);
};

describe('x-store-backup', () => {
  test('has the instant at which it was started, whatever is written meanwhile, and reads then what was written since', async () => {
    const seeded = new Seeded(5);
    await scribble(seeded, 40);
    for (let generation = 0; generation < 4; generation++) {
      const before = await current();
      const end = ended();
      // Little room in memory, so that some of it comes from the scratch file.
      await start({ 'x-cbw-buffer': 64 * kib, scratch: folder });
      await scribble(seeded, 20);
      expect(await end).toBe('BLOCK_JOB_COMPLETED');
      expect(Buffer.compare(await latest(), before)).toBe(0);
      expect(await bitmaps()).toHaveLength(4);
      await scribble(seeded, seeded.below(4));
      if (generation === 1)
        for (const name of ['a', 'b'])
          await qmp.run('block_resize', { 'node-name': name, size: 512 * (2000 + seeded.below(12_000)) });
    }
    expect(await checkRepository(repository, { readData: 1 })).toMatchObject({ errors: [], snapshots: 4 });
    expect(await repository.store.list('locks')).toEqual([]);
    expect(server.graph.nodes().map(({ name }) => name)).toEqual(['b', 'a']);
  });

  test('tells what is new, known and stored, and of the snapshot', async () => {
    await guests['a']!.write(0, new Uint8Array(2 * mib).fill(3)); // it is there
    await backUp();
    await guests['a']!.write(0, new Uint8Array(512)); // it is there
    await backUp({ 'auto-dismiss': false });
    const [job] = (await qmp.run('query-block-jobs')) as unknown as { 'x-store': Record<string, unknown> }[];
    expect(job).toMatchObject({ type: 'backup', device: 'j', len: 2 * diskBytes, offset: 2 * diskBytes });
    expect(job!['x-store']).toMatchObject({ snapshot: (await repository.snapshots()).at(-1)!.id });
    expect(Number(job!['x-store']['new-bytes'])).toBeLessThan(2 * mib);
    expect(Number(job!['x-store']['new-bytes']) + Number(job!['x-store']['reused-bytes'])).toBeGreaterThan(
      2 * diskBytes,
    );
    await qmp.run('job-dismiss', { id: 'j' });
  });

  test('stands still when it is paused or its disks are drained, and ends without a trace when it is cancelled', async () => {
    for (const guest of Object.values(guests)) await guest.write(0, new Uint8Array(diskBytes).fill(7));
    await start({ speed: 1 });
    await qmp.run('job-pause', { id: 'j' });
    await qmp.run('transaction', { actions: [] });
    expect(await qmp.run('query-jobs')).toMatchObject([{ id: 'j', status: 'paused' }]);
    const node = server.graph.getNode('a');
    await node.drainBegin();
    node.drainEnd();
    await qmp.run('job-resume', { id: 'j' });
    const end = ended();
    await qmp.run('job-cancel', { id: 'j' });
    expect(await end).toBe('BLOCK_JOB_CANCELLED');
    expect(await repository.snapshots()).toEqual([]);
    expect(await bitmaps()).toEqual([]);
    expect(server.graph.nodes().map(({ name }) => name)).toEqual(['b', 'a']);
    expect(await backUp()).toBe('BLOCK_JOB_COMPLETED');
    expect(Buffer.compare(await latest(), await current())).toBe(0);
  });

  test('stops at a target that fails, and goes on when it is told to', async () => {
    await scribble(new Seeded(6), 30);
    renameSync(`${folder}/repository/data`, `${folder}/away`);
    writeFileSync(`${folder}/repository/data`, '');
    const stopped = new Promise((resolve) => qmp.on('BLOCK_JOB_ERROR', ({ data }) => resolve(data)));
    await start({ 'on-target-error': 'stop' });
    expect(await stopped).toMatchObject({ device: 'j', operation: 'write', action: 'stop' });
    rmSync(`${folder}/repository/data`);
    renameSync(`${folder}/away`, `${folder}/repository/data`);
    const end = ended();
    await qmp.run('job-resume', { id: 'j' });
    expect(await end).toBe('BLOCK_JOB_COMPLETED');
    expect(Buffer.compare(await latest(), await current())).toBe(0);
  });

  test('makes no snapshot when another job of its transaction fails', async () => {
    await backUp();
    const before = await bitmaps();
    await scribble(new Seeded(8), 10);
    const inject = [{ event: 'none', errno: 28 }];
    const image = { driver: 'memory', size: diskBytes };
    await qmp.run('blockdev-add', { driver: 'blkdebug', 'node-name': 'bad', image, 'inject-error': inject });
    await qmp.run('transaction', {
      properties: { 'completion-mode': 'grouped' },
      actions: [
        { type: 'x-store-backup', data: storeData() },
        { type: 'blockdev-backup', data: { 'job-id': 'k', device: 'a', target: 'bad', sync: 'full' } },
      ],
    });
    while (((await qmp.run('query-jobs')) as unknown[]).length > 0);
    expect(await repository.snapshots()).toHaveLength(1);
    expect(await bitmaps()).toEqual(before);
    expect(await backUp()).toBe('BLOCK_JOB_COMPLETED');
    expect(Buffer.compare(await latest(), await current())).toBe(0);
  });

  test('is not misled by a disk that was cut and has grown again', async () => {
    await guests['a']!.write(0, new Uint8Array(diskBytes).fill(7)); // it is there
    await backUp();
    for (const size of [mib, diskBytes]) await qmp.run('block_resize', { 'node-name': 'a', size });
    expect(await backUp()).toBe('BLOCK_JOB_COMPLETED');
    expect(Buffer.compare(await latest(), await current())).toBe(0);
  });

  test.each([
    [{ 'password-secret': 'none' }, "No secret with id 'none'"],
    [{ repository: '/none/of/these' }, 'is no repository: there are no keys'],
    [{ repository: 'sftp:x' }, 'repositories by sftp are not supported'],
    [{ machine: '../m' }, "'../m' cannot be the name of a machine"],
    [{ disks: [] }, 'There are no disks to back up'],
    [{ disks: [{ device: 'z' }] }, "Cannot find device='z' nor node-name='z'"],
    [{ disks: [{ device: 'a' }, { device: 'a', name: 'x' }] }, "Disks 'a' and 'x'"],
    [{ scratch: '/none/of/these' }, 'Could not make scratch file'],
    [{ 'job-id': '1c' }, "Invalid job ID '1c'"],
    [{ speed: -1 }, "'speed' expects a non-negative value"],
  ])('refuses %j, and holds nothing', async (more, words) => {
    await expect(start(more)).rejects.toThrow(words);
    expect(await repository.store.list('locks')).toEqual([]);
    expect(await bitmaps()).toEqual([]);
    expect(server.graph.nodes().map(({ name }) => name)).toEqual(['b', 'a']);
  });
});

function storeData(): object {
  return { 'job-id': 'j', repository: `${folder}/repository`, 'password-secret': 'key', machine: 'm', disks };
}
