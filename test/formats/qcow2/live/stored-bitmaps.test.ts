/**
 * Persistent bitmaps in an image: what is stored comes back, whatever its shape; what others may have written is read; and
 * what cannot be stored leaves the image clean.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bitmapsOf, type NodeBitmaps } from '../../../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../../../host/block/backend.ts';
import { BlockGraph } from '../../../../host/block/graph.ts';
import { Perm } from '../../../../host/block/permissions.ts';
import { checkImage } from '../../../../host/formats/qcow2/check/check.ts';
import { readBitmapDirectory } from '../../../../host/formats/qcow2/disk/bitmap-directory.ts';
import { readHeader } from '../../../../host/formats/qcow2/disk/header.ts';
import { qcow2 } from '../../../../host/formats/qcow2/driver.ts';
import { createGraph } from '../../../../host/graph.ts';
import {
  createSimulation,
  type FaultRule,
  type SimStorage,
  type Simulation,
} from '../../../../host/platform/sim/index.ts';
import { file } from '../../../../host/protocols/file/driver.ts';
import { imagePath, makeImage } from '../../../sim/crash-harness.ts';
import { attach } from '../../../support/attach.ts';
import { kib, mib } from '../../../support/units.ts';
import { MemoryFile } from '../memory-file.ts';

interface Opened {
  bitmaps: NodeBitmaps;
  backend: BlockBackend;
  stderr: readonly string[];
  fail(rule: FaultRule): () => void;
}

interface OpenOptions {
  readOnly?: boolean;
  /** A graph that keeps no bitmaps. */
  unobserved?: boolean;
}

function simulate(storage: SimStorage): Simulation {
  return createSimulation(1, { storage, latency: 'instant', record: false });
}

/** Opens the image, lets `use` work with it, and closes it. */
async function withImage<T>(
  storage: SimStorage,
  use: (opened: Opened) => Promise<T> | T,
  { readOnly = false, unobserved = false }: OpenOptions = {},
  simulation: Simulation = simulate(storage),
): Promise<T> {
  const options = { platform: simulation.platform, drivers: [file, qcow2] };
  const graph = unobserved ? new BlockGraph(options) : createGraph(options);
  const fileOptions = { driver: 'file', filename: imagePath };
  const node = await graph.open({ driver: 'qcow2', 'read-only': readOnly, file: fileOptions });
  const backend = await attach(node, readOnly ? Perm.consistentRead : Perm.all);
  const { output } = simulation;
  try {
    return await use({
      bitmaps: bitmapsOf(node),
      backend,
      stderr: output.stderr,
      fail: (rule) => simulation.fail(rule),
    });
  } finally {
    await backend.close();
    await graph.unref(node);
  }
}

/** What the consistency check has to say; nothing for a clean image without leaks. */
async function findings(storage: SimStorage): Promise<string[]> {
  const lines: string[] = [];
  await checkImage(new MemoryFile(storage.readFile(imagePath)), {
    fix: { leaks: false, errors: false },
    report: (line) => lines.push(line),
  });
  return lines;
}

/** Bitmaps as their names, settings and dirty granules. */
function describeAll(bitmaps: NodeBitmaps): Record<string, object> {
  return Object.fromEntries(
    [...bitmaps].map((bitmap) => {
      const areas: [number, number][] = [];
      for (const walk = bitmap.bits.walk(); walk.next(); ) areas.push([walk.offset, walk.bytes]);
      const { granularity, disabled, persistent, inconsistent } = bitmap;
      return [bitmap.name, { granularity, disabled, persistent, inconsistent, areas }];
    }),
  );
}

/** The offset of the directory in the file, and of the table of its first bitmap. */
async function locate(storage: SimStorage): Promise<{ directory: number; table: number }> {
  const image = new MemoryFile(storage.readFile(imagePath));
  const header = await readHeader(image, { readOnly: true, check: false, noIo: false });
  const [entry] = await readBitmapDirectory(image, header.bitmaps!, header.clusterSize);
  return { directory: header.bitmaps!.directoryOffset, table: entry!.tableOffset };
}

function edit(storage: SimStorage, change: (view: DataView) => void): void {
  const bytes = storage.readFile(imagePath).slice();
  change(new DataView(bytes.buffer));
  storage.writeFile(imagePath, bytes);
}

const disk = { cluster_size: 512, refcount_bits: 64, size: 4 * mib + 1536 };

async function withStored(...names: string[]): Promise<SimStorage> {
  const storage = await makeImage(disk);
  await withImage(storage, async ({ bitmaps, backend }) => {
    for (const name of names) bitmaps.add(name, { persistent: true, granularity: 512 });
    await backend.write(mib, new Uint8Array(4 * kib));
  });
  return storage;
}

describe('persistent bitmaps in a qcow2 image', () => {
  test('come back as they were, whatever was stored, removed and written before', {
    timeout: 60_000,
  }, async () => {
    const name = fc.constantFrom('a', 'b', 'ä long näme that is stored in UTF-8', 'd'.repeat(600));
    const range = fc
      .tuple(fc.nat({ max: disk.size / 512 - 1 }), fc.integer({ min: 1, max: 4000 }))
      .map(([first, count]) => ({
        offset: first * 512,
        bytes: Math.min(count * 512, disk.size - first * 512),
      }));
    const step = fc.oneof(
      fc.record({
        type: fc.constant('add' as const),
        name,
        granularity: fc.constantFrom(512, 4096, 65_536, mib),
        disabled: fc.boolean(),
      }),
      fc.record({ type: fc.constant('remove' as const), name }),
      fc.record({ type: fc.constant('mark' as const), name, range }),
      fc.record({ type: fc.constant('clear' as const), name }),
      fc.record({ type: fc.constant('write' as const), range }),
      fc.constant({ type: 'reopen' as const }),
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 24 }), async (steps) => {
      const storage = await makeImage(disk);
      const sessions: (typeof steps)[] = [[]];
      for (const one of steps) one.type === 'reopen' ? sessions.push([]) : sessions.at(-1)!.push(one);
      let expected: Record<string, object> = {};
      for (const session of sessions) {
        expected = await withImage(storage, async ({ bitmaps, backend }) => {
          expect(describeAll(bitmaps)).toEqual(expected);
          for (const one of session) {
            const bitmap = 'name' in one ? bitmaps.find(one.name) : undefined;
            if (one.type === 'add' && !bitmap) bitmaps.add(one.name, { ...one, persistent: true });
            if (one.type === 'mark') bitmap?.bits.set(one.range.offset, one.range.bytes);
            if (one.type === 'clear') bitmap?.clear();
            if (one.type === 'write') await backend.write(one.range.offset, new Uint8Array(one.range.bytes));
            if (one.type === 'remove' && bitmap) {
              await bitmaps.removeStored(bitmap);
              bitmaps.remove(bitmap);
            }
          }
          return describeAll(bitmaps);
        });
        expect(await findings(storage)).toEqual([]);
      }
      await withImage(storage, ({ bitmaps }) => expect(describeAll(bitmaps)).toEqual(expected), {
        readOnly: true,
      });
    });
    await fc.assert(property, { numRuns: 40 });
  });

  test('take no more space however often they are stored', async () => {
    const storage = await withStored('a', 'b');
    const again = () => withImage(storage, ({ backend }) => backend.write(mib, new Uint8Array(512)));
    await again();
    const bytes = storage.readFile(imagePath).length;
    for (let round = 0; round < 20; round++) await again();
    expect(storage.readFile(imagePath).length).toBeLessThanOrEqual(bytes + 16 * kib);
    expect(await findings(storage)).toEqual([]);
  });

  test('of a table that says a whole cluster is dirty are read', async () => {
    const storage = await withStored('a');
    const { table } = await locate(storage);
    edit(storage, (view) => view.setBigUint64(table + 8, 1n));
    // A cluster of 512 bytes is about 2 MiB.
    await withImage(storage, ({ bitmaps }) => {
      expect(describeAll(bitmaps)['a']).toMatchObject({
        areas: [
          [mib, 4 * kib],
          [2 * mib, 2 * mib],
        ],
      });
    });
    expect(await findings(storage)).toEqual([]);
  });

  test('keep extra data that does not matter, and are of no use with extra data that does', async () => {
    for (const compatible of [true, false]) {
      const storage = await withStored('abcdefgh');
      const { directory } = await locate(storage);
      // The name becomes eight bytes of extra data with no name behind it, so a shorter name takes its end.
      edit(storage, (view) => {
        view.setUint16(directory + 18, 4);
        view.setUint32(directory + 20, 4);
        view.setUint32(directory + 12, compatible ? 6 : 2);
      });
      const state = await withImage(storage, ({ bitmaps }) => [...bitmaps].map((bitmap) => bitmap.query()));
      expect(state).toMatchObject([compatible ? { name: 'efgh', count: 4 * kib } : { inconsistent: true }]);
      const image = new MemoryFile(storage.readFile(imagePath));
      const header = await readHeader(image, { readOnly: true, check: false, noIo: false });
      const [entry] = await readBitmapDirectory(image, header.bitmaps!, 512);
      expect(new TextDecoder().decode(entry!.extraData)).toBe('abcd');
      expect(entry!.flags).toBe(compatible ? 6 : 3);
      expect(await findings(storage)).toEqual([]);
    }
  });

  test('of a length that does not fit the disk fail the opening, and are not marked', async () => {
    const storage = await withStored('a');
    const { directory } = await locate(storage);
    edit(storage, (view) => view.setUint32(directory + 8, 1));
    await expect(withImage(storage, () => {})).rejects.toThrow("Bitmap 'a' doesn't satisfy the constraints");
    const image = new MemoryFile(storage.readFile(imagePath));
    expect(image.view().getUint32(directory + 12)).toBe(2);
  });

  test('that cannot be read fail the opening', async () => {
    const storage = await withStored('a');
    const { table } = await locate(storage);
    const simulation = simulate(storage);
    simulation.fail({ errno: 'EIO', type: 'read', range: { offset: table, bytes: 8 } });
    await expect(withImage(storage, () => {}, {}, simulation)).rejects.toMatchObject({ errno: 'EIO' });
    await withImage(storage, ({ bitmaps }) => expect(bitmaps.get('a').count).toBe(4 * kib));
  });

  test('that cannot be stored are left to the journal with a warning, and the image is as clean as before', async () => {
    const storage = await withStored('a');
    const simulation = simulate(storage);
    await withImage(
      storage,
      async ({ bitmaps, backend, fail }) => {
        await backend.write(0, new Uint8Array(512));
        await backend.flush();
        bitmaps.add('b', { persistent: true });
        // Room for one table, not for all.
        fail({ errno: 'ENOSPC', type: 'write', after: 2, times: 1 });
      },
      {},
      simulation,
    );
    expect(simulation.output.stderr.join('\n')).toMatch(
      /^Lost persistent bitmaps during inactivation of node '#block\d+': Failed to write bitmap '[ab]' to file: No space left on device$/,
    );
    expect(await findings(storage)).toEqual([]);
    await withImage(storage, ({ bitmaps }) => {
      expect(describeAll(bitmaps)).toMatchObject({ a: { inconsistent: false }, b: { inconsistent: false } });
      expect(bitmaps.get('a').bits.get(0)).toBe(true);
    });
  });

  test('that nobody keeps up to date are distrusted afterwards', async () => {
    const storage = await withStored('a');
    await withImage(storage, ({ bitmaps }) => expect([...bitmaps]).toEqual([]), { unobserved: true });
    await withImage(storage, ({ bitmaps }) => expect(bitmaps.get('a').inconsistent).toBe(true));
  });

  test('are not touched by whoever only reads', async () => {
    const storage = await withStored('a');
    const before = storage.readFile(imagePath).slice();
    await withImage(storage, ({ bitmaps }) => expect(bitmaps.get('a').readonly).toBe(true), {
      readOnly: true,
    });
    expect(storage.readFile(imagePath)).toEqual(before);
  });

  test('store what was recorded while an operation has them', async () => {
    const storage = await withStored('a');
    await withImage(storage, async ({ bitmaps, backend }) => {
      bitmaps.createSuccessor(bitmaps.get('a'));
      await backend.write(0, new Uint8Array(512));
    });
    await withImage(storage, ({ bitmaps }) => {
      expect(describeAll(bitmaps)['a']).toMatchObject({
        disabled: false,
        areas: [
          [0, 512],
          [mib, 4 * kib],
        ],
      });
    });
  });
});

describe('room for another bitmap', () => {
  test('ends at the limits of the format', async () => {
    const storage = await makeImage({ cluster_size: 65_536, size: 512 * 1024 * mib });
    await withImage(storage, ({ bitmaps, backend }) => {
      const { bitmapStorage } = backend.edge.node.driver;
      const check = (name: string, granularity: number, others: number, length = 1) =>
        bitmapStorage!.checkRoom(
          { name, granularity },
          Array.from({ length: others }, (_, index) => ({
            name: String(index).padEnd(length, '.'),
            granularity,
          })),
          backend.length,
        );
      expect(() => check('b', 512, 65_534)).not.toThrow();
      expect(() => check('b', 512, 65_535)).toThrow(
        'Maximum number of persistent bitmaps is already reached',
      );
      expect(() => check('b', 512, 65_000, 1016)).toThrow('Not enough space in the bitmap directory');
      expect(() => check('b', 2 ** 32, 0)).toThrow('Granularity exceeds maximum (2147483648 bytes)');
      expect(() => check('n'.repeat(1024), 512, 0)).toThrow('Name length exceeds maximum (1023 characters)');
      expect(() => bitmapStorage!.checkRoom({ name: 'b', granularity: 512 }, [], 2 ** 42)).toThrow(
        'Too much space will be occupied by the bitmap. Use larger granularity',
      );
      expect(() => bitmaps.add('b', { persistent: true, granularity: 2 ** 32 })).toThrow(
        /^Can't make bitmap 'b' persistent in '#block\d+': Granularity exceeds maximum/,
      );
    });
  });
});
