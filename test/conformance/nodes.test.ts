/**
 * What holds for every node, whatever its driver: the same bodies over every entry of the registry, on storage that
 * answers at once, on storage that answers late and in any order, and on storage that fails.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { createGraph } from '../../host/bitmaps/persistence.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createSimulation, type Simulation } from '../../host/platform/sim/index.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { unlimited } from '../../host/throttle/config.ts';
import { throttleGroupsOf } from '../../host/throttle/groups.ts';
import { mergeLimits } from '../../host/throttle/spellings.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { WebFile } from '../support/web-file.ts';
import {
  checkAgainstModel,
  checkBounds,
  checkExtents,
  checkReopening,
  checkZeroes,
  type DiskTraits,
  diskBytes,
} from './checks.ts';

interface Stack extends DiskTraits {
  /** Makes what the options refer to. */
  prepare?(graph: BlockGraph): Promise<void>;
  options: Record<string, unknown>;
  /** Always open so, but read by the same tests. */
  readOnly?: true;
  /** A failure of one child only ends the program. */
  endsOnFailure?: true;
}

const file = (filename: string): Record<string, unknown> => ({ driver: 'file', filename });
const image = (format: string, filename: string) => (graph: BlockGraph) =>
  createImage(graph, { filename, format, size: diskBytes, quiet: true });

const both =
  (one: ReturnType<typeof image>, other: ReturnType<typeof image>) => async (graph: BlockGraph) => {
    await one(graph);
    await other(graph);
  };

const onServer = { stores: true, writable: 'never', readOnly: true } as const;
/** What the server has: nothing in its first half. */
const served = new Uint8Array(diskBytes).fill(7, diskBytes / 2);

/** One stack for every driver; a new driver without one fails the first test. */
const stacks: Record<string, Stack> = {
  file: { prepare: image('raw', 'disk'), options: file('disk'), stores: true },
  http: { options: { driver: 'http', url: 'http://server/disk' }, ...onServer },
  https: { options: { driver: 'https', url: 'https://server/disk' }, ...onServer },
  memory: { options: { driver: 'memory', size: diskBytes }, stores: true },
  'null-co': { options: { driver: 'null-co', size: diskBytes, 'read-zeroes': true }, stores: false },
  'null-aio': { options: { driver: 'null-aio', size: diskBytes, 'read-zeroes': true }, stores: false },
  raw: { prepare: image('raw', 'disk'), options: { driver: 'raw', file: file('disk') }, stores: true },
  qcow2: { prepare: image('qcow2', 'disk'), options: { driver: 'qcow2', file: file('disk') }, stores: true },
  'copy-before-write': {
    prepare: both(image('qcow2', 'disk'), image('raw', 'target')),
    options: {
      driver: 'copy-before-write',
      file: { driver: 'qcow2', file: file('disk') },
      target: { driver: 'raw', file: file('target') },
    },
    stores: true,
  },
  blkdebug: {
    prepare: image('raw', 'disk'),
    options: {
      driver: 'blkdebug',
      align: 512,
      'max-transfer': 65_536,
      'opt-write-zero': 4096,
      'max-write-zero': 131_072,
      image: file('disk'),
    },
    stores: true,
  },
  blkverify: {
    prepare: both(image('raw', 'disk'), image('qcow2', 'copy')),
    options: {
      driver: 'blkverify',
      test: { driver: 'qcow2', file: file('copy') },
      raw: file('disk'),
    },
    stores: true,
    endsOnFailure: true,
  },
  quorum: {
    prepare: async (graph) => {
      for (const name of ['a', 'b']) await image('raw', name)(graph);
      await image('qcow2', 'c')(graph);
    },
    options: {
      driver: 'quorum',
      'vote-threshold': 2,
      'rewrite-corrupted': true,
      children: [file('a'), { driver: 'raw', file: file('b') }, { driver: 'qcow2', file: file('c') }],
    },
    stores: true,
  },
  compress: {
    prepare: image('qcow2', 'disk'),
    options: { driver: 'compress', file: { driver: 'qcow2', file: file('disk') } },
    stores: true,
    writable: 'once',
  },
  'copy-on-read': {
    prepare: async (graph) => {
      await image('raw', 'base')(graph);
      await createImage(graph, {
        filename: 'disk',
        format: 'qcow2',
        size: diskBytes,
        quiet: true,
        backingFile: 'base',
        backingFormat: 'raw',
      });
    },
    options: { driver: 'copy-on-read', file: { driver: 'qcow2', file: file('disk') } },
    stores: true,
  },
  preallocate: {
    prepare: image('raw', 'disk'),
    options: { driver: 'preallocate', 'prealloc-size': 1 << 20, file: file('disk') },
    stores: true,
  },
  'snapshot-access': {
    prepare: both(image('raw', 'disk'), image('raw', 'target')),
    options: {
      driver: 'snapshot-access',
      file: { driver: 'copy-before-write', file: file('disk'), target: file('target') },
    },
    stores: true,
    writable: 'never',
  },
  throttle: {
    prepare: async (graph) => {
      await image('raw', 'disk')(graph);
      throttleGroupsOf(graph).add('tg', mergeLimits(unlimited, { 'iops-total': 1000 }));
    },
    options: { driver: 'throttle', 'throttle-group': 'tg', file: file('disk') },
    stores: true,
  },
};

const storages = {
  'immediate storage': { latency: 'instant' },
  'slow storage': { latency: { minNs: 1_000, maxNs: 5_000_000 } },
} as const;

async function open(graph: BlockGraph, stack: Stack): Promise<BlockBackend> {
  const node = await graph.open({
    ...stack.options,
    discard: 'unmap',
    ...(stack.readOnly && { 'read-only': true }),
  });
  const backend = await attachAlone(node, stack.readOnly ? Perm.consistentRead : readWriteResize);
  return backend;
}

/** Runs `body` on a fresh stack, and checks that closing leaves nothing open. */
async function withStack(
  simulation: Simulation,
  stack: Stack,
  body: (disk: BlockBackend, graph: BlockGraph) => Promise<void>,
): Promise<void> {
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await stack.prepare?.(graph);
    const disk = await open(graph, stack);
    await body(disk, graph);
    await disk.close();
    expect(graph.nodes()).toEqual([]);
  });
}

test('every driver of the registry is here', () => {
  expect(Object.keys(stacks).sort()).toEqual(drivers.map(({ name }) => name).sort());
});

for (const [name, stack] of Object.entries(stacks)) {
  for (const [storage, options] of Object.entries(storages)) {
    describe(`${name} on ${storage}`, () => {
      const simulate = (seed: number): Simulation =>
        createSimulation(seed, { ...options, fetch: new WebFile(served).fetch });

      if (stack.stores && !stack.writable)
        test('gives back what was written, with many requests at once', async () => {
          for (let seed = 1; seed <= 8; seed++) {
            await withStack(simulate(seed), stack, (disk) => checkAgainstModel(disk, new Prng(seed)));
          }
        });

      test('is as long as it says, and refuses what lies beyond', async () => {
        await withStack(simulate(1), stack, checkBounds);
      });

      if (!stack.writable)
        test('reads zeros after write-zeroes and keeps what is beside', async () => {
          await withStack(simulate(2), stack, (disk) => checkZeroes(disk, stack));
        });

      test('describes all of itself in extents that fit together', async () => {
        await withStack(simulate(3), stack, (disk) => checkExtents(disk, stack));
      });

      if (stack.stores && stack.writable !== 'never' && name !== 'memory')
        test('holds what was flushed when it is opened again', async () => {
          const simulation = simulate(4);
          await simulation.run(async () => {
            const graph = createGraph({ platform: simulation.platform, drivers });
            await stack.prepare?.(graph);
            await checkReopening(() => open(graph, stack));
          });
        });
    });
  }

  if (stack.writable || stack.endsOnFailure) continue;
  describe(`${name} on failing storage`, () => {
    test('fails requests with an error, never hangs, and works again when the fault is gone', async () => {
      for (let seed = 1; seed <= 20; seed++) {
        const simulation = createSimulation(seed, { latency: { minNs: 1_000, maxNs: 1_000_000 } });
        await withStack(simulation, stack, async (disk) => {
          const random = new Prng(seed);
          const fault = simulation.fail({
            errno: seed % 2 === 0 ? 'EIO' : 'ENOSPC',
            after: random.below(6),
            times: 1 + random.below(8),
          });
          const outcomes = await Promise.allSettled(randomRequests(disk, random));
          for (const outcome of outcomes) {
            if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(BlockError);
          }
          fault();
          const data = new Uint8Array(4096).fill(3);
          await disk.write(8192, data);
          await disk.flush();
          const read = new Uint8Array(4096);
          await disk.read(8192, read);
          if (stack.stores) expect(Buffer.compare(read, data)).toBe(0);
        });
      }
    });
  });
}

function* randomRequests(disk: BlockBackend, random: Prng): Generator<Promise<void>> {
  for (let i = 0; i < 24; i++) {
    const offset = random.below(diskBytes / 512) * 512;
    const bytes = Math.min(diskBytes - offset, 512 * (1 + random.below(200)));
    const kind = random.below(5);
    if (kind === 0) yield disk.read(offset, new Uint8Array(bytes));
    else if (kind === 1) yield disk.writeZeroes(offset, bytes, { mayUnmap: random.below(2) === 0 });
    else if (kind === 2) yield disk.flush();
    else yield disk.write(offset, new Uint8Array(bytes).fill(1 + random.below(255)));
  }
}
