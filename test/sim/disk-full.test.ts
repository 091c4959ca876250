/**
 * A file system that is full at any moment of a command: it fails with one error, nothing of the image is lost, no
 * cluster leaks, and what a failed creation had begun is gone.
 *
 * The file system has room for some pages more than it holds, from none to where the command succeeds.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { checkImage } from '../../host/formats/qcow2/check/check.ts';
import { qcow2 } from '../../host/formats/qcow2/driver.ts';
import { raw } from '../../host/formats/raw.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation, type SimStorage, type Simulation } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { attachAlone } from '../support/attach.ts';

const pageBytes = 4096;
/** Up to so many, every number of pages is tried; beyond, one in 37. */
const closelyPages = 10;
/** More pages than any of the commands needs. */
const enoughPages = 600;

const path = '/disk';
const diskBytes = 1 << 20;

function graphOf({ platform }: Simulation): BlockGraph {
  return createGraph({ platform, drivers: [file, raw, qcow2], emit: () => {} });
}

async function withDisk(
  graph: BlockGraph,
  format: string,
  act: (disk: BlockBackend) => Promise<void>,
): Promise<void> {
  const disk = await attachAlone(await graph.openFile(path, { format }));
  try {
    await act(disk);
    await disk.flush();
  } finally {
    await disk.close();
  }
}

/** What the disk reads as. */
async function contentOf(graph: BlockGraph, format: string): Promise<Buffer> {
  const disk = await attachAlone(await graph.openFile(path, { format, flags: { readOnly: true } }), 1);
  const bytes = Buffer.alloc(disk.length);
  await disk.read(0, bytes);
  await disk.close();
  return bytes;
}

/** All that the check says. */
async function findingsOf(storage: SimStorage): Promise<string[]> {
  const bytes = storage.readFile(path);
  const lines: string[] = [];
  await checkImage(
    {
      length: bytes.length,
      read: async (offset, buffer) => {
        buffer.fill(0);
        buffer.set(bytes.subarray(offset, offset + buffer.length));
      },
      write: () => Promise.reject(new Error('a check without repair changes nothing')),
      flush: async () => {},
    },
    { fix: { leaks: false, errors: false }, report: (line) => lines.push(line) },
  );
  return lines;
}

interface Scenario {
  name: string;
  format: 'raw' | 'qcow2';
  /** Of the image that is there before. Absent: there is none. */
  before?: { options?: Record<string, string | number>; prepare?(disk: BlockBackend): Promise<void> };
  act(graph: BlockGraph): Promise<void>;
}

const create = (format: string, values: Record<string, string | number>) => (graph: BlockGraph) =>
  createImage(graph, { filename: path, format, size: diskBytes, values, quiet: true });

const resize =
  (format: string, length: number, preallocation: 'off' | 'metadata' | 'falloc' | 'full') =>
  (graph: BlockGraph) =>
    withDisk(graph, format, (disk) => disk.truncate(length, { preallocation }));

const snapshot = (name: string) => (graph: BlockGraph) =>
  withDisk(graph, 'qcow2', async (disk) => {
    await disk.node.driver.snapshots!.create({
      name,
      dateSeconds: 1,
      dateNanoseconds: 0,
      vmClockNs: 0n,
      vmStateBytes: 0,
      icount: undefined,
    });
  });

const some = async (disk: BlockBackend): Promise<void> => {
  await disk.write(100_000, Buffer.alloc(70_000, 7));
};

const scenarios: readonly Scenario[] = [
  { name: 'create raw', format: 'raw', act: create('raw', {}) },
  { name: 'create raw, falloc', format: 'raw', act: create('raw', { preallocation: 'falloc' }) },
  { name: 'create raw, full', format: 'raw', act: create('raw', { preallocation: 'full' }) },
  { name: 'create qcow2', format: 'qcow2', act: create('qcow2', {}) },
  ...(['metadata', 'falloc', 'full'] as const).map((preallocation) => ({
    name: `create qcow2, ${preallocation}`,
    format: 'qcow2' as const,
    act: create('qcow2', { preallocation, cluster_size: 4096 }),
  })),
  ...(['off', 'falloc', 'full'] as const).map((preallocation) => ({
    name: `resize raw, ${preallocation}`,
    format: 'raw' as const,
    before: { prepare: some },
    act: resize('raw', 2 * diskBytes, preallocation),
  })),
  ...[512, 4096, 65536].flatMap((cluster_size) =>
    (['off', 'metadata', 'falloc', 'full'] as const).map((preallocation) => ({
      name: `resize qcow2, clusters of ${cluster_size}, ${preallocation}`,
      format: 'qcow2' as const,
      // With clusters of 4096 there is an L2 table already, with those of 65536 none.
      before: { options: { cluster_size }, ...(cluster_size < 65536 && { prepare: some }) },
      act: resize('qcow2', 1.5 * diskBytes, preallocation),
    })),
  ),
  ...[512, 4096, 65536].map((cluster_size) => ({
    name: `snapshot, clusters of ${cluster_size}`,
    format: 'qcow2' as const,
    before: { options: { cluster_size }, prepare: some },
    act: snapshot('s'),
  })),
  ...[512, 4096, 65536].map((cluster_size) => ({
    name: `bitmap, clusters of ${cluster_size}`,
    format: 'qcow2' as const,
    before: { options: { cluster_size }, prepare: some },
    act: (graph: BlockGraph) =>
      withDisk(graph, 'qcow2', async (disk) => {
        bitmapsOf(disk.node).add('b', { persistent: true, granularity: 512 });
        await some(disk);
      }),
  })),
];

async function prepared({ format, before }: Scenario): Promise<SimStorage> {
  const simulation = createSimulation(1, { latency: 'instant', record: false });
  if (before) {
    await simulation.run(async () => {
      const graph = graphOf(simulation);
      await create(format, before.options ?? {})(graph);
      await withDisk(graph, format, async (disk) => before.prepare?.(disk));
    });
  }
  return simulation.storage;
}

describe('a disk that is full', () => {
  test.each(scenarios)('$name', async (scenario) => {
    const start = await prepared(scenario);
    const { format, before } = scenario;
    let content: Buffer | undefined;
    for (let pages = 0; pages < enoughPages; pages += pages < closelyPages ? 1 : 37) {
      const storage = start.clone();
      const capacityBytes = storage.allocatedBytes + pages * pageBytes;
      const simulation = createSimulation(1, { latency: 'instant', record: false, storage, capacityBytes });
      let failure: unknown;
      await simulation.run(async () => {
        const graph = graphOf(simulation);
        if (before) content ??= await contentOf(graph, format);
        try {
          await scenario.act(graph);
        } catch (error) {
          failure = error;
        }
        expect(simulation.openFiles).toEqual([]);
      });
      if (failure === undefined) return;
      expect(failure).toBeInstanceOf(BlockError);
      expect((failure as BlockError).errno).toBe('ENOSPC');
      const what = `with room for ${pages} pages, ${(failure as BlockError).message}`;
      if (!before) {
        expect(storage.paths(), what).toEqual([]);
        continue;
      }
      if (format === 'qcow2') expect(await findingsOf(storage), what).toEqual([]);
      await simulation.run(async () => {
        const now = await contentOf(graphOf(simulation), format);
        expect(now.length, what).toBe(content!.length); // read before
        expect(now.equals(content!), what).toBe(true); // as above
      });
    }
    expect.fail('it never succeeded');
  });
});
