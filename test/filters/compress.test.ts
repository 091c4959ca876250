/** The compress filter: everything is stored compressed, in whole clusters. */

import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { kib } from '../support/units.ts';

const cluster = 64 * kib;
const diskBytes = 8 * cluster + 10 * kib;

type Layout = ('compressed' | 'zero' | 'none')[];

async function withDisk(
  body: (disk: BlockBackend, layout: () => Promise<Layout>) => Promise<void>,
): Promise<void> {
  const simulation = createSimulation(1, { latency: { minNs: 1_000, maxNs: 500_000 } });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await createImage(graph, { filename: 'f', format: 'qcow2', size: diskBytes, quiet: true });
    const file = { driver: 'qcow2', 'node-name': 'image', file: { driver: 'file', filename: 'f' } };
    const node = await graph.open({ driver: 'compress', file });
    // Whoever cannot resize cannot write the last cluster, which the disk has only a part of.
    const disk = await attachAlone(node, readWriteResize);
    await body(disk, () => layoutOf(graph.getNode('image')));
    await disk.close();
  });
}

async function layoutOf(image: BlockNode): Promise<Layout> {
  const layout: Layout = [];
  for (let at = 0; at < diskBytes; at += cluster) {
    const status = await blockStatus(image, at, Math.min(cluster, diskBytes - at));
    if (!status.allocated) layout.push('none');
    else layout.push(status.compressed ? 'compressed' : 'zero');
  }
  return layout;
}

describe('the compress filter', () => {
  test('completes the clusters that are written to in part', async () => {
    await withDisk(async (disk, layout) => {
      await disk.write(cluster - 100, new Uint8Array(200).fill(5));
      await disk.write(diskBytes - 7, new Uint8Array(7).fill(6));
      await disk.write(4 * cluster, new Uint8Array(2 * cluster).fill(7));
      const none = 'none';
      const compressed = 'compressed';
      expect(await layout()).toEqual([
        ...[compressed, compressed, none, none, compressed, compressed, none, none, compressed],
      ]);
      const expected = new Uint8Array(diskBytes);
      expected
        .fill(5, cluster - 100, cluster + 100)
        .fill(6, diskBytes - 7)
        .fill(7, 4 * cluster, 6 * cluster);
      const read = new Uint8Array(diskBytes);
      await disk.read(0, read);
      expect(Buffer.compare(read, expected)).toBe(0);
    });
  });

  test('cannot write to a cluster twice', async () => {
    await withDisk(async (disk) => {
      await disk.write(0, new Uint8Array(512).fill(1));
      await expect(disk.write(1024, new Uint8Array(512).fill(2))).rejects.toMatchObject({ errno: 'EIO' });
      await disk.write(cluster, new Uint8Array(512).fill(3));
    });
  });

  test('leaves whole clusters of zeros to the image, and writes the rest of them', async () => {
    await withDisk(async (disk, layout) => {
      await disk.writeZeroes(1000, 3 * cluster);
      await disk.writeZeroes(5 * cluster + 512, 1024);
      await disk.writeZeroes(7 * cluster, diskBytes - 7 * cluster);
      expect(await layout()).toEqual([
        ...['compressed', 'zero', 'zero', 'compressed', 'none', 'compressed', 'none', 'zero', 'zero'],
      ]);
      const read = new Uint8Array(diskBytes).fill(1);
      await disk.read(0, read);
      expect(read.every((byte) => byte === 0)).toBe(true);
      await expect(disk.writeZeroes(4 * cluster + 1, 5, { noFallback: true })).rejects.toMatchObject({
        errno: 'ENOTSUP',
      });
    });
  });
});
