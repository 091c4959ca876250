/** Encrypted disks in the simulator: writes beside each other in one sector, and hosts that have no ciphers. */
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { CreateValues } from '../../host/block/driver.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { ciphers } from '../../host/platform/node/ciphers.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { attachAlone } from '../support/attach.ts';
import { Seeded } from '../support/seeded.ts';
import { syncHashes } from '../support/sync-hashes.ts';

const diskBytes = 256 << 10;

interface Encrypted {
  format: string;
  values: CreateValues;
  options: Record<string, unknown>;
}

const images: Encrypted[] = [
  { format: 'luks', values: { 'key-secret': 's', 'iter-time': 1 }, options: { 'key-secret': 's' } },
  {
    format: 'qcow2',
    values: {
      'encrypt.format': 'luks',
      'encrypt.key-secret': 's',
      'encrypt.iter-time': 1,
      cluster_size: 4096,
    },
    options: { encrypt: { 'key-secret': 's' } },
  },
];

function graphOn(platform: Platform): BlockGraph {
  const graph = createGraph({ platform, drivers, emit: () => {} });
  objectTableOf(graph).set('s', { secret: new TextEncoder().encode('a passphrase') });
  return graph;
}

async function open(graph: BlockGraph, { format, options }: Encrypted): Promise<BlockBackend> {
  const file = { driver: 'file', filename: '/disk' };
  return attachAlone(await graph.open({ driver: format, ...options, file }));
}

describe.each(images)('an encrypted disk in $format', (image) => {
  test.each([1, 2, 3])('keeps what is written beside each other at once, seed %i', async (seed) => {
    const simulation = createSimulation(seed, { record: false });
    await simulation.run(async () => {
      const graph = graphOn({ ...simulation.platform, ciphers, hashes: syncHashes });
      await createImage(graph, { filename: '/disk', ...image, size: diskBytes, quiet: true });
      const disk = await open(graph, image);
      const model = new Uint8Array(diskBytes);
      await disk.write(0, model);
      const random = new Seeded(seed);
      for (let round = 0; round < 5; round++) {
        const writes: Promise<void>[] = [];
        for (let at = random.below(3000); at < 12_000; ) {
          const bytes = 1 + random.below(random.pick([9, 700]));
          const pattern = 1 + random.below(255);
          model.fill(pattern, at, at + bytes);
          writes.push(disk.write(at, new Uint8Array(bytes).fill(pattern)));
          at += bytes;
        }
        await Promise.all(writes);
      }
      const seen = new Uint8Array(diskBytes);
      await disk.read(0, seen);
      expect(Buffer.compare(seen, model)).toBe(0);
      await disk.close();
    });
  });

  test('is refused where there are no ciphers, and still told about', async () => {
    const simulation = createSimulation(1, { record: false });
    await simulation.run(async () => {
      const graph = graphOn({ ...simulation.platform, ciphers, hashes: syncHashes });
      await createImage(graph, { filename: '/disk', ...image, size: diskBytes, quiet: true });
      const without = graphOn(simulation.platform);
      await expect(open(without, image)).rejects.toThrow('there are no ciphers');
      const file = { driver: 'file', filename: '/disk' };
      const node = await without.open({ driver: image.format, file }, { noIo: true, readOnly: true });
      expect(node.driver.info?.()).toMatchObject({ encrypted: true });
      await without.unref(node);
      const made = createImage(without, { filename: '/new', ...image, size: diskBytes, quiet: true });
      await expect(made).rejects.toThrow('there are no ciphers');
      await expect(without.platform.files.stat('/new')).rejects.toMatchObject({ errno: 'ENOENT' });
    });
  });
});
