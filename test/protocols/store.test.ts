/** Disks of a repository as nodes: read while they are still there alone, and never anything but what was backed up. */
import { beforeEach, describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { filenameOf } from '../../host/block/filename.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { Perm } from '../../host/block/permissions.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import type { MemoryStore } from '../../host/store/object-store.ts';
import type { Repository } from '../../host/store/repository.ts';
import { copyInto, filesOf, withFolder } from '../store/folder-of.ts';
import { prune } from '../store/prune.ts';
import { backUp, diskContent, newRepository, password } from '../store/world.ts';
import { attach, attachAlone, readWrite } from '../support/attach.ts';
import { connectClient } from '../support/local-client.ts';
import { Seeded } from '../support/seeded.ts';

const chunkBytes = 16 << 10;
/** Not of whole chunks, and not of whole sectors. */
const content = Uint8Array.from(
  { length: (1 << 20) + 3 * 4096 + 100 },
  (_, i) => 1 + (((i * i) >>> 9) % 255),
);
content.fill(0, 5 * chunkBytes, 9 * chunkBytes);

let repository: Repository;
let store: MemoryStore;
/** That were asked for. */
let ranges: number;
let first: string;

beforeEach(async () => {
  ({ repository, store } = await newRepository());
  first = await backUp(repository, { hda: content, hdb: content.subarray(0, 512) }, { chunkBytes });
});

function graphOn(): BlockGraph {
  const files = filesOf(store, 'r', () => ranges++);
  const platform = withFolder({ ...nodePlatform, files }, store, 'r');
  const graph = createGraph({ platform, drivers });
  objectTableOf(graph).set('s0', { secret: new TextEncoder().encode(`${password}\n`) });
  return graph;
}

const options = { driver: 'store', repository: 'local:r', disk: 'm/hda', 'password-secret': 's0' };

async function open(graph = graphOn(), others: object = {}): Promise<BlockBackend> {
  const node = await graph.open({ ...options, 'read-only': true, ...others });
  return attachAlone(node, Perm.consistentRead);
}

async function readAll(disk: BlockBackend): Promise<Uint8Array> {
  const whole = new Uint8Array(disk.length);
  await disk.read(0, whole);
  return whole;
}

const padded = (bytes: number): Uint8Array => {
  const whole = new Uint8Array(bytes);
  whole.set(content);
  return whole;
};

function expectSame(found: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(found, expected)).toBe(0);
}

describe('a disk of a repository', () => {
  test('is what was backed up, wherever it is read, by many at once', async () => {
    const disk = await open();
    const seeded = new Seeded(1);
    const expected = padded(disk.length);
    const reads = Array.from({ length: 200 }, async () => {
      const offset = 512 * seeded.below(disk.length / 512);
      const buffer = new Uint8Array(Math.min(disk.length - offset, 1 + seeded.below(200_000)));
      await disk.read(offset, buffer);
      expectSame(buffer, expected.subarray(offset, offset + buffer.length));
    });
    await Promise.all(reads);
    await disk.close();
  });

  test('asks for chunks that are side by side in one request, for those it has not at all, and for zeros never', async () => {
    const disk = await open();
    ranges = 0;
    await disk.read(9 * chunkBytes, new Uint8Array(6 * chunkBytes));
    expect(ranges).toBe(1);
    await disk.read(10 * chunkBytes, new Uint8Array(3 * chunkBytes));
    await disk.read(5 * chunkBytes, new Uint8Array(4 * chunkBytes));
    expect(ranges).toBe(1);
    await disk.close();
  });

  test('reads ahead of who reads on', async () => {
    const disk = await open();
    const piece = new Uint8Array(4096);
    ranges = 0;
    for (let offset = 9 * chunkBytes; offset < content.length - 4096; offset += 4096)
      await disk.read(offset, piece);
    expect(ranges).toBeLessThan(6);
    await disk.close();
  });

  test('tells which parts are zero', async () => {
    const disk = await open();
    const found: (readonly [number, number, boolean])[] = [];
    for (let at = 0; at < disk.length; ) {
      const { bytes, zero } = await blockStatus(disk.node, at, disk.length - at);
      found.push([at, bytes, zero]);
      at += bytes;
    }
    expect(found).toContainEqual([5 * chunkBytes, 4 * chunkBytes, true]);
    expect(found[0]).toEqual([0, 5 * chunkBytes, false]);
    await disk.close();
  });

  test('is the newest that there is, and stays that one', async () => {
    const disk = await open();
    await backUp(repository, { hdc: content }, { chunkBytes });
    const changed = content.slice().fill(9, 0, 4096);
    const second = await backUp(repository, { hda: changed }, { chunkBytes });
    expectSame(await readAll(disk), padded(disk.length));
    expect(filenameOf(disk.node)).toContain(`"snapshot": "${first}"`);
    const newest = await open(graphOn(), { snapshot: 'latest' });
    expect(filenameOf(newest.node)).toContain(`"snapshot": "${second}"`);
    expect((await readAll(newest))[0]).toBe(9);
    const oldest = await open(graphOn(), { snapshot: first.slice(0, 8) });
    expectSame(await readAll(oldest), padded(disk.length));
    for (const node of [disk, newest, oldest]) await node.close();
  });

  test('is found again when somebody prunes the repository meanwhile', async () => {
    const disk = await open();
    await disk.read(0, new Uint8Array(4096));
    await backUp(repository, { hda: diskContent(1 << 20, 3) }, { chunkBytes });
    await prune(repository);
    expectSame(await readAll(disk), padded(disk.length));
    await disk.close();
  });

  test('fails to be read when its snapshot is forgotten and pruned, and in no other way', async () => {
    const disk = await open();
    await prune(repository, [first]);
    const error: unknown = await readAll(disk).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ errno: 'EIO', message: expect.stringContaining('is not in r (any more)') });
    await disk.close();
  });

  test('is the base of an overlay that runs at once', async () => {
    const simulation = createSimulation(1);
    await simulation.run(async () => {
      const platform = withFolder(simulation.platform, store, 'r');
      await copyInto(platform.files, store, 'r');
      const graph = createGraph({ platform, drivers });
      objectTableOf(graph).set('s0', { secret: new TextEncoder().encode(password) });
      const backing = { driver: 'raw', file: { ...options, snapshot: first } };
      const backingFile = `json:${JSON.stringify(backing)}`;
      await createImage(graph, {
        filename: 'o',
        format: 'qcow2',
        backingFile,
        backingFormat: 'raw',
        quiet: true,
      });
      const node = await graph.openFile('o', { format: 'qcow2' });
      const overlay = await attachAlone(node, Perm.consistentRead | Perm.write);
      await overlay.write(4096, new Uint8Array(512).fill(9));
      const expected = padded(overlay.length);
      expected.fill(9, 4096, 4608);
      expectSame(await readAll(overlay), expected);
      await overlay.close();
    });
  });
});

test('an overlay is filled while a guest writes to it, and needs the repository no more', async () => {
  const simulation = createSimulation(3);
  await simulation.run(async () => {
    const platform = withFolder(simulation.platform, store, 'r');
    await copyInto(platform.files, store, 'r');
    const server = new QmpServer({ platform, drivers, commands });
    objectTableOf(server.graph).set('s0', { secret: new TextEncoder().encode(password) });
    const size = Math.ceil(content.length / 512) * 512;
    await createImage(server.graph, { filename: 'o', format: 'qcow2', size, quiet: true });
    const qmp = await connectClient(server);
    const file = { driver: 'file', filename: 'o' };
    const backing = { ...options, 'read-only': true };
    await qmp.run('blockdev-add', { driver: 'qcow2', 'node-name': 'o', file, backing });
    const overlay = await attach(server.graph.getNode('o'), readWrite);
    const expected = padded(overlay.length);
    const isOver = new Promise<object>((resolve) => {
      qmp.on('BLOCK_JOB_COMPLETED', ({ data }) => resolve(data));
    });
    await qmp.run('block-stream', { device: 'o', 'job-id': 's', speed: 4 << 20 });
    const seeded = new Seeded(3);
    for (let i = 0; i < 20; i++) {
      const offset = 512 * seeded.below(overlay.length / 512 - 8);
      expected.fill(i, offset, offset + 4096);
      await overlay.write(offset, expected.slice(offset, offset + 4096));
      const jobs = (await qmp.run('query-block-jobs')) as unknown as { type: string }[];
      for (const { type } of jobs) expect(type).toBe('stream');
    }
    expect(await isOver).not.toHaveProperty('error');
    expect(overlay.node.backing()).toBeUndefined();
    expectSame(await readAll(overlay), expected);
    await overlay.close();
    await server.stop();
    await server.close();
  });
});

describe('it refuses', () => {
  const refused = async (others: object, words: string | RegExp): Promise<void> => {
    const error: unknown = await open(graphOn(), others).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BlockError);
    expect((error as BlockError).message).toMatch(words);
    expect((error as BlockError).message).not.toContain(password);
  };

  test.each([
    [{ 'read-only': false }, /'store' driver can only read/],
    [{ 'password-secret': 'none' }, /No secret with id 'none'/],
    [{ repository: 'rest:http://host/' }, /repositories by rest are not supported/],
    [{ repository: 'elsewhere' }, /is no repository: there are no keys/],
    [{ snapshot: 'xyz' }, /'xyz' is no snapshot/],
    [{ snapshot: 'ffffffffffff' }, /There is no snapshot 'ffffffffffff'/],
    [{ disk: 'm/hdc' }, /has a disk 'm\/hdc'/],
    [{ disk: '../m/hda' }, /has a disk '\.\.\/m\/hda'/],
    [{ nonsense: 1 }, /nonsense/],
  ] as const)('%j', async (others, words) => {
    await refused(others, words);
  });

  test('another password, and a disk that the snapshot has not, naming those that it has', async () => {
    const graph = graphOn();
    objectTableOf(graph).set('s0', { secret: new TextEncoder().encode('other') });
    await expect(open(graph)).rejects.toMatchObject({ errno: 'EACCES' });
    await refused({ snapshot: first, disk: 'm/x' }, /which has m\/hda, m\/hdb/);
  });

  test("'latest' in what an image names", async () => {
    const simulation = createSimulation(1);
    await simulation.run(async () => {
      const platform = withFolder(simulation.platform, store, 'r');
      const graph = createGraph({ platform, drivers });
      const backingFile = `json:${JSON.stringify({ driver: 'raw', file: options })}`;
      const image = { filename: 'o', format: 'qcow2', backingFile, backingFormat: 'raw', quiet: true };
      await createImage(graph, { ...image, size: 1 << 20, unsafe: true });
      await expect(graph.openFile('o', { format: 'qcow2' })).rejects.toThrow(
        "cannot be the 'latest' snapshot",
      );
    });
  });
});

const runs = Number(process.env['BIT_ROT'] ?? 1000);

test('bits that change anywhere are never served', async () => {
  const seeded = new Seeded(7);
  ({ repository, store } = await newRepository());
  const whole = content.slice(0, 6 * chunkBytes);
  await backUp(repository, { hda: whole }, { chunkBytes });
  const names = [...store.files.keys()];
  let failures = 0;
  for (let run = 0; run < runs; run++) {
    const file = store.files.get(names[run % names.length]!)!; // of those
    const at = seeded.below(file.length);
    const bit = 1 << seeded.below(8);
    file[at]! ^= bit;
    try {
      const disk = await open();
      try {
        expectSame(await readAll(disk), whole);
      } finally {
        await disk.close();
      }
    } catch (error) {
      expect(error).toBeInstanceOf(BlockError);
      failures++;
    }
    file[at]! ^= bit;
  }
  expect(failures).toBeGreaterThan(runs / 2);
});
