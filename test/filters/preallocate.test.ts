/** Preallocation: how far the file reaches while somebody writes, and that nothing of it stays. */
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation, type Simulation, type SimulationOptions } from '../../host/platform/sim/index.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { attach } from '../support/attach.ts';
import { mib } from '../support/units.ts';

const align = 1 * mib;
const size = 4 * mib;
const startBytes = 1 * mib;

interface World {
  simulation: Simulation;
  graph: BlockGraph;
  node: BlockNode;
  disk: BlockBackend;
  fileBytes(): Promise<number>;
}

async function attachToGrow(node: BlockNode, perm?: number): Promise<BlockBackend> {
  const backend = await attach(node, perm);
  backend.allowWriteBeyondEnd = true;
  return backend;
}

/** A file of 1 MiB below the filter `p`; `disk` may write to it and make it longer. */
async function withFile(
  options: SimulationOptions,
  body: (world: World) => Promise<void>,
  seed = 1,
): Promise<void> {
  const simulation = createSimulation(seed, { latency: 'instant', record: false, ...options });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await createImage(graph, { filename: 'f', format: 'raw', size: startBytes, quiet: true });
    const node = await graph.open({
      driver: 'preallocate',
      'node-name': 'p',
      'prealloc-align': align,
      'prealloc-size': size,
      file: { driver: 'file', filename: 'f' },
    });
    const disk = await attachToGrow(node);
    const fileBytes = async (): Promise<number> => (await simulation.platform.files.stat('f')).size;
    await body({ simulation, graph, node, disk, fileBytes });
    await graph.unref(node);
    expect(graph.nodes()).toEqual([]);
  });
}

const grown = (end: number): number => Math.ceil((end + size) / align) * align;

describe('the preallocate filter', () => {
  test('extends the file by more than was written, and shows what was written', async () => {
    await withFile({}, async ({ disk, fileBytes }) => {
      await disk.write(0, new Uint8Array(startBytes));
      expect(await fileBytes()).toBe(startBytes);
      await disk.write(startBytes, new Uint8Array(100_000).fill(1));
      expect(await fileBytes()).toBe(grown(startBytes + 100_000));
      expect(disk.length).toBe(Math.ceil((startBytes + 100_000) / 512) * 512);
      await disk.write(3 * mib, new Uint8Array(512).fill(2));
      expect(await fileBytes()).toBe(grown(startBytes + 100_000));
      expect(disk.length).toBe(3 * mib + 512);
      await disk.close();
      expect(await fileBytes()).toBe(3 * mib + 512);
    });
  });

  test('does not write zeros where it has zeroed already', async () => {
    const zeroed: number[] = [];
    const onIo: SimulationOptions['onIo'] = ({ type, offset }) => {
      if (type === 'zero') zeroed.push(offset);
    };
    await withFile({ onIo }, async ({ disk }) => {
      await disk.write(startBytes, new Uint8Array(512).fill(1));
      await disk.writeZeroes(2 * mib, mib);
      expect(zeroed).toEqual([startBytes]);
      expect(disk.length).toBe(3 * mib);
      await disk.writeZeroes(startBytes, 512);
      expect(zeroed).toEqual([startBytes, startBytes]);
      await disk.close();
    });
  });

  test('gives the file its length back when it becomes read-only', async () => {
    await withFile({}, async ({ graph, node, disk, fileBytes }) => {
      await disk.write(startBytes, new Uint8Array(512).fill(1));
      await disk.close();
      const reader = await attachToGrow(node, Perm.consistentRead);
      const writer = await attachToGrow(node, Perm.write | Perm.resize);
      await writer.write(startBytes + 512, new Uint8Array(512).fill(1));
      expect(await fileBytes()).toBe(grown(startBytes + 1024));
      await writer.close();
      expect(await fileBytes()).toBe(startBytes + 1024);
      expect(reader.length).toBe(startBytes + 1024);
      await graph.setReadOnly(node, true);
      expect(await fileBytes()).toBe(startBytes + 1024);
      await reader.close();
    });
  });

  test('lets nobody else resize the file meanwhile', async () => {
    await withFile({}, async ({ disk, node }) => {
      const file = node.children.get('file')!.node; // opened with it
      await expect(attachToGrow(file, Perm.write)).rejects.toThrow(/Permission conflict on node/);
      await disk.close();
      const other = await attachToGrow(file, Perm.write);
      await other.close();
    });
  });

  test('resizes to what was asked for', async () => {
    await withFile({}, async ({ disk, fileBytes }) => {
      await disk.write(startBytes, new Uint8Array(512).fill(1));
      await disk.truncate(2 * mib);
      expect(await fileBytes()).toBe(2 * mib);
      expect(disk.length).toBe(2 * mib);
      await disk.write(2 * mib, new Uint8Array(512).fill(1));
      await disk.truncate(3 * mib, { preallocation: 'falloc' });
      expect(await fileBytes()).toBe(grown(2 * mib + 512));
      expect(disk.length).toBe(3 * mib);
      await disk.truncate(startBytes);
      expect(await fileBytes()).toBe(startBytes);
      await disk.close();
      expect(await fileBytes()).toBe(startBytes);
    });
  });

  test('makes do without where the host cannot reserve space', async () => {
    await withFile({ fallocate: false }, async ({ disk, fileBytes }) => {
      await disk.write(startBytes, new Uint8Array(512).fill(1));
      await disk.writeZeroes(startBytes + 512, 512);
      expect(await fileBytes()).toBe(startBytes + 1024);
      await disk.close();
      expect(await fileBytes()).toBe(startBytes + 1024);
    });
  });

  for (const fallocate of [true, false]) {
    test(`loses nothing of many writes at once, ${fallocate ? 'with' : 'without'} preallocation`, async () => {
      for (let seed = 1; seed <= 20; seed++) {
        const body = async ({ disk, fileBytes }: World): Promise<void> => {
          const random = new Prng(seed);
          const expected = new Uint8Array(20 * mib);
          const requests: Promise<void>[] = [];
          let end = startBytes;
          for (let offset = 0; offset < 18 * mib; offset += 256 << 10) {
            if (random.below(3) === 0) continue;
            const bytes = 1 + random.below(256 << 10);
            const value = random.below(3) === 0 ? 0 : 1 + random.below(255);
            expected.fill(value, offset, offset + bytes);
            end = Math.max(end, offset + bytes);
            requests.push(
              value === 0
                ? disk.writeZeroes(offset, bytes, { mayUnmap: random.below(2) === 0 })
                : disk.write(offset, new Uint8Array(bytes).fill(value)),
            );
            if (random.below(8) === 0) await Promise.all(requests);
          }
          await Promise.all(requests);
          const read = new Uint8Array(end);
          await disk.read(0, read);
          expect(Buffer.compare(read, expected.subarray(0, end))).toBe(0);
          await disk.close();
          expect(await fileBytes()).toBe(end);
        };
        await withFile({ fallocate, latency: { minNs: 1_000, maxNs: 2_000_000 } }, body, seed);
      }
    });
  }
});
