/**
 * What a crash, or a full disk, can do to an image that is rebased, committed or amended: at any moment it reads as before,
 * through the backing file that it names then, and so does the base; both are sound but for clusters that nothing uses.
 *
 * CRASH_STATES is how many states are looked at for each change.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { CreateValues } from '../../host/block/driver.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { copyWhatDiffers } from '../../host/cli/img/rebase-copy.ts';
import { createImage } from '../../host/formats/qcow2/create/create.ts';
import { qcow2 } from '../../host/formats/qcow2/driver.ts';
import { raw } from '../../host/formats/raw.ts';
import { createGraph } from '../../host/graph.ts';
import { commitAndWait } from '../../host/jobs/commit/commit-and-wait.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { crashStates, createSimulation, type SimStorage } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { attach, readWrite, readWriteResize } from '../support/attach.ts';
import { kib } from '../support/units.ts';
import { findingsIn } from './crash-harness.ts';

const maxStates = Number(process.env['CRASH_STATES'] ?? 30);

interface World {
  graph: BlockGraph;
  image: BlockBackend;
}

type Change = (world: World) => Promise<void>;

const names = { disk: '/disk.qcow2', base: '/base.qcow2', other: '/other.qcow2' } as const;

async function use<T>(
  platform: Platform,
  filename: string,
  readOnly: boolean,
  act: (world: World) => Promise<T>,
): Promise<T> {
  const graph = createGraph({ platform, drivers: [file, raw, qcow2], emit: () => {} });
  const node = await graph.openFile(filename, { format: 'qcow2', flags: { readOnly, discard: true } });
  const image = await attach(node, readOnly ? Perm.consistentRead : readWrite);
  try {
    return await act({ graph, image });
  } finally {
    await image.close();
    await graph.unref(node);
  }
}

const rebase =
  (name: string | undefined, compressed = false): Change =>
  async ({ graph, image }) => {
    const node = name === undefined ? undefined : await graph.openFile(name, { flags: { readOnly: true } });
    const newBacking = node && (await attach(node, Perm.consistentRead));
    try {
      await copyWhatDiffers({ image, newBacking, compressed, progress: () => {} });
      await image.flush();
      await image.node.driver.changeBackingFile!(name, name && 'qcow2');
    } finally {
      await newBacking?.close();
      if (node) await graph.unref(node);
    }
  };

const commit: Change = async ({ graph, image: { node } }) => {
  await commitAndWait(graph, { id: 'commit', top: node, base: node.backing()! });
  await node.drainBegin();
  try {
    await node.driver.makeEmpty!();
  } finally {
    node.drainEnd();
  }
};

const amend =
  (values: CreateValues): Change =>
  async ({ image }) => {
    await image.setPermissions(readWriteResize, Perm.all);
    const plan = await qcow2.amend!.plan(image, values);
    await plan.apply();
  };

/** A disk on a base, with data, zeros and compressed clusters in both, and another base that is shorter. */
async function makeStorage(options: CreateValues): Promise<SimStorage> {
  const { platform, storage } = createSimulation(1, { latency: 'instant', record: false });
  const cluster = Number(options['cluster_size']);
  const make = async (name: string, clusters: number, values: CreateValues): Promise<void> => {
    const image = await platform.files.open(name, { write: true, create: 'exclusive' });
    await createImage(image, { ...options, ...values, size: clusters * cluster });
    await image.close();
  };
  const fill = (image: BlockBackend, byte: number, first: number, clusters: number): Promise<void> =>
    image.write(first * cluster, new Uint8Array(clusters * cluster).fill(byte));
  await make(names.base, 40, {});
  await make(names.other, 30, {});
  await make(names.disk, 40, { backing_file: names.base, backing_fmt: 'qcow2' });
  await use(platform, names.base, false, async ({ image }) => {
    await fill(image, 1, 0, 12);
    await fill(image, 2, 33, 3);
  });
  await use(platform, names.other, false, async ({ image }) => {
    await fill(image, 1, 0, 5);
    await fill(image, 3, 8, 20);
  });
  await use(platform, names.disk, false, async ({ image }) => {
    await fill(image, 4, 3, 2);
    await image.writeCompressed(7 * cluster, new Uint8Array(cluster).fill(5));
    await fill(image, 6, 20, 3);
    if (options['compat'] !== '0.10') await image.writeZeroes(0, 2 * cluster);
    if (options['compat'] !== '0.10') await image.writeZeroes(21 * cluster, cluster);
  });
  return storage;
}

async function contentOf(storage: SimStorage, name: string): Promise<Buffer> {
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  return use(platform, name, true, async ({ image }) => {
    const content = Buffer.alloc(image.length);
    await image.read(0, content);
    return content;
  });
}

/** What is wrong, but for clusters that nothing uses. */
async function flaws(storage: SimStorage): Promise<string[]> {
  const all = [names.disk, names.base].map(async (name) => (await findingsIn(storage.readFile(name))).lines);
  return (await Promise.all(all)).flat().filter((line) => line !== '' && !line.startsWith('Leaked cluster'));
}

const shapes: readonly CreateValues[] = [
  { cluster_size: 512, refcount_bits: 8 },
  { cluster_size: 4096 },
  { cluster_size: 1024, compat: '0.10' },
];

interface Case {
  name: string;
  change: Change;
  /** The base becomes what the disk is. */
  isCommit?: true;
  /** Its length then, when it is another one. */
  size?: number;
  since3?: true;
}

const cases: readonly Case[] = [
  { name: 'rebase to nothing', change: rebase(undefined) },
  { name: 'rebase to another backing file', change: rebase(names.other) },
  { name: 'rebase with compression', change: rebase(names.other, true) },
  { name: 'commit', change: commit, isCommit: true },
  { name: 'amend to version 2', change: amend({ compat: '0.10', refcount_bits: 16 }), since3: true },
  { name: 'amend to version 3', change: amend({ compat: '1.1', refcount_bits: 1, lazy_refcounts: true }) },
  { name: 'amend the width', change: amend({ compat: '1.1', refcount_bits: 64 }) },
  { name: 'amend the size', change: amend({ size: 200 * kib }), size: 200 * kib },
];

function expected(before: Buffer, { size }: Case): Buffer[] {
  return size === undefined ? [before] : [before, Buffer.concat([before], size)];
}

describe.each(shapes)('of an image with %j', (options) => {
  for (const one of cases) {
    if (one.since3 && options['compat'] === '0.10') continue;

    test(`a crash leaves the contents: ${one.name}`, { timeout: 120_000 }, async () => {
      const storage = await makeStorage(options);
      const before = await contentOf(storage, names.disk);
      const simulation = createSimulation(7, { storage });
      await simulation.run(() => use(simulation.platform, names.disk, false, one.change));
      expect(expected(before, one)).toContainEqual(await contentOf(storage, names.disk));
      if (one.isCommit) expect(await contentOf(storage, names.base)).toEqual(before);
      const wrong: string[] = [];
      let states = 0;
      for (const { storage: state, description } of crashStates(simulation.journal!, {
        maxStates,
        seed: 3,
      })) {
        states++;
        const found = await contentOf(state, names.disk);
        if (!expected(before, one).some((content) => content.equals(found)))
          wrong.push(`${description}: contents`);
        wrong.push(...(await flaws(state)).map((line) => `${description}: ${line}`));
      }
      expect(states).toBeGreaterThan(2);
      expect(wrong.slice(0, 5)).toEqual([]);
    });

    test(`a full disk leaves the contents: ${one.name}`, { timeout: 120_000 }, async () => {
      const original = await makeStorage(options);
      const before = await contentOf(original, names.disk);
      const step = Number(options['cluster_size']) * 9;
      for (let room = 0, failed = true; failed; room += step) {
        const storage = original.clone();
        const capacityBytes = storage.allocatedBytes + room;
        const { platform } = createSimulation(1, {
          storage,
          latency: 'instant',
          record: false,
          capacityBytes,
        });
        failed = false;
        try {
          await use(platform, names.disk, false, one.change);
        } catch (error) {
          expect(error).toBeInstanceOf(BlockError);
          expect((error as BlockError).errno).toBe('ENOSPC');
          failed = true;
        }
        expect(expected(before, one)).toContainEqual(await contentOf(storage, names.disk));
        const findings = (await findingsIn(storage.readFile(names.disk))).lines.filter((line) => line !== '');
        expect(findings, `room for ${room} bytes`).toEqual([]);
      }
    });
  }
});
