/** Copy-on-read: what is copied, when, and that writes and copies never get in each other's way. */
import { describe, expect, test } from 'vitest';
import { withoutUndefined } from '../../host/base/without-undefined.ts';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import type { CopyOnRead } from '../../host/filters/copy-on-read.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation, type Simulation } from '../../host/platform/sim/index.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { attach, readWrite } from '../support/attach.ts';
import { firstDifference } from '../support/bytes.ts';
import { kib } from '../support/units.ts';

const cluster = 64 * kib;
const diskBytes = 12 * cluster;

interface World {
  simulation: Simulation;
  graph: BlockGraph;
  top: BlockNode;
  disk: BlockBackend;
  filter: CopyOnRead;
  /** Which clusters of the top image hold data of their own. */
  held(): Promise<number[]>;
}

/** `base` has data in clusters 0…3, `mid` in 4…7, and `top` nothing; 8…11 are nowhere. */
async function withChain(
  seed: number,
  options: object,
  body: (world: World) => Promise<void>,
  latency: 'instant' | { minNs: number; maxNs: number } = 'instant',
): Promise<void> {
  const simulation = createSimulation(seed, { latency, record: false });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    const opened: BlockNode[] = [];
    let below: string | undefined;
    for (const [name, first] of [
      ['base', 0],
      ['mid', 4],
      ['top', undefined],
    ] as const) {
      await createImage(graph, {
        filename: name,
        format: 'qcow2',
        size: diskBytes,
        quiet: true,
        ...(below === undefined ? {} : { backingFile: below, backingFormat: 'qcow2' }),
      });
      const node = await graph.open({
        driver: 'qcow2',
        'node-name': name,
        file: { driver: 'file', filename: name },
        ...withoutUndefined({ backing: below }),
      });
      if (first !== undefined) {
        const writer = await attach(node, readWrite);
        for (let at = first; at < first + 4; at++) {
          await writer.write(at * cluster, new Uint8Array(cluster).fill(at + 1));
        }
        await writer.close();
      }
      opened.unshift(node);
      below = name;
    }
    const top = opened[0]!; // pushed last
    const node = await graph.open({ driver: 'copy-on-read', 'node-name': 'cor', file: 'top', ...options });
    const disk = await attach(node, readWrite);
    await body({
      simulation,
      graph,
      top,
      disk,
      filter: node.driver as CopyOnRead,
      held: async () => {
        const held: number[] = [];
        for (let at = 0; at < diskBytes / cluster; at++) {
          if ((await blockStatus(top, at * cluster, cluster)).allocated) held.push(at);
        }
        return held;
      },
    });
    await disk.close();
    for (const one of [node, ...opened]) await graph.unref(one);
    expect(graph.nodes()).toEqual([]);
  });
}

/** A byte of the chain before anybody writes to it. */
const original = (offset: number): number => (offset < 8 * cluster ? Math.floor(offset / cluster) + 1 : 0);

describe('copy-on-read', () => {
  test('keeps what is read, in whole clusters, also where there is nothing below', async () => {
    await withChain(1, {}, async ({ disk, held }) => {
      const read = new Uint8Array(2 * kib);
      await disk.read(cluster - kib, read);
      expect([...new Set(read)]).toEqual([1, 2]);
      expect(await held()).toEqual([0, 1]);
      await disk.read(9 * cluster + 5, read);
      expect(read.every((byte) => byte === 0)).toBe(true);
      expect(await held()).toEqual([0, 1, 9]);
    });
  });

  test('leaves alone what lies below the bottom', async () => {
    await withChain(2, { bottom: 'mid' }, async ({ disk, held }) => {
      const read = new Uint8Array(diskBytes);
      await disk.read(0, read);
      expect(read.every((byte, at) => byte === original(at))).toBe(true);
      expect(await held()).toEqual([4, 5, 6, 7]);
    });
  });

  test('fetches ahead of any reader, as a reader would have done', async () => {
    await withChain(3, { bottom: 'mid' }, async ({ disk, filter, held }) => {
      await filter.prefetch(3 * cluster, 2 * cluster + 1);
      expect(await held()).toEqual([4, 5]);
      await filter.prefetch(0, 10 * diskBytes);
      expect(await held()).toEqual([4, 5, 6, 7]);
      const read = new Uint8Array(diskBytes);
      await disk.read(0, read);
      expect(read.every((byte, at) => byte === original(at))).toBe(true);
    });
  });

  test('is no change: dirty bitmaps of the node record nothing, those of its file do', async () => {
    await withChain(4, {}, async ({ disk, top }) => {
      const file = top.children.get('file')!.node; // qcow2 has one
      const ofDisk = bitmapsOf(top).add('disk');
      const ofFile = bitmapsOf(file).add('file');
      await disk.read(0, new Uint8Array(diskBytes));
      expect(ofDisk.count).toBe(0);
      expect(ofFile.count).toBeGreaterThan(0);
      await disk.write(0, new Uint8Array(512));
      expect(ofDisk.count).toBe(cluster);
    });
  });

  test('fails the read when it cannot keep the data', async () => {
    await withChain(5, {}, async ({ simulation, disk, held }) => {
      const fixed = simulation.fail({ errno: 'ENOSPC', path: 'top', type: 'write', times: 1e9 });
      await expect(disk.read(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'ENOSPC' });
      fixed();
      expect(await held()).toEqual([]);
      await disk.read(0, new Uint8Array(512));
      expect(await held()).toEqual([0]);
    });
  });

  test('freezes the links down to the bottom until it lets go', async () => {
    await withChain(6, { bottom: 'mid' }, async ({ graph, top, filter }) => {
      const change = (): Promise<void> => graph.setBacking(top, undefined);
      await expect(change()).rejects.toThrow("Cannot change frozen 'backing' link from 'top' to 'mid'");
      filter.releaseChain();
      await change();
      expect(top.backing()).toBeUndefined();
    });
  });

  test('refuses a bottom that is not below', async () => {
    await withChain(7, {}, async ({ graph }) => {
      await expect(graph.open({ driver: 'copy-on-read', file: 'mid', bottom: 'top' })).rejects.toThrow(
        "Bottom node 'top' is not in the backing chain of 'mid'",
      );
    });
  });

  // Some writers go past the filter: they share the node with it.
  test('never brings old data back over what is written at the same time', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const latency = { minNs: 1_000, maxNs: 2_000_000 };
      const body = async ({ disk, top, filter }: World): Promise<void> => {
        const random = new Prng(seed);
        const beside = await attach(top, readWrite);
        const expected = Uint8Array.from({ length: diskBytes }, (_, at) => original(at));
        const requests: Promise<void>[] = [];
        // Disjoint writes, and reads across all of them.
        for (let offset = 0; offset < diskBytes; offset += 16 * kib) {
          if (random.below(3) === 0) continue;
          const bytes = 512 * (1 + random.below(32));
          const value = 100 + random.below(100);
          const writer = random.below(2) === 0 ? disk : beside;
          if (random.below(4) === 0) {
            expected.fill(0, offset, offset + bytes);
            requests.push(writer.writeZeroes(offset, bytes));
          } else {
            expected.fill(value, offset, offset + bytes);
            requests.push(writer.write(offset, new Uint8Array(bytes).fill(value)));
          }
          const start = random.below(diskBytes);
          const length = Math.min(diskBytes - start, 1 + random.below(3 * cluster));
          requests.push(
            random.below(2) === 0 ? filter.prefetch(start, length) : disk.read(start, new Uint8Array(length)),
          );
        }
        await Promise.all(requests);
        await filter.prefetch(0, diskBytes);
        await beside.close();
        const read = new Uint8Array(diskBytes);
        await disk.read(0, read);
        expect(firstDifference(read, expected)).toBe(-1);
      };
      await withChain(seed, {}, body, latency);
    }
  });
});
