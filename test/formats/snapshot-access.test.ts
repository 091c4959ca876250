/**
 * Points in time, read back while guests go on writing: through snapshot-access, and on a target that shows the source
 * wherever it holds nothing itself.
 */
import { describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { createBackupJob } from '../../host/jobs/backup/backup.ts';
import { JobRegistry } from '../../host/jobs/job-registry.ts';
import { createSimulation, type Simulation } from '../../host/platform/sim/index.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { attach, readWrite } from '../support/attach.ts';
import { firstDifference } from '../support/bytes.ts';
import { kib } from '../support/units.ts';

const cluster = 64 * kib;
const diskBytes = 16 * cluster + 4 * kib;

interface Disk {
  simulation: Simulation;
  graph: BlockGraph;
  guest: BlockBackend;
  /** The point in time. */
  content: Uint8Array;
}

interface Setup {
  /** The target is an overlay of the source. */
  fleecing?: boolean;
  filter?: Record<string, unknown>;
  /** Called before the filter is there. */
  before?(graph: BlockGraph, source: BlockNode): Promise<void>;
  latency?: 'instant';
}

/** Nodes `source` (raw), `target` (qcow2), `cbw` and `snapshot`; a guest writes to `cbw`. */
async function withDisk(seed: number, setup: Setup, body: (disk: Disk) => Promise<void>): Promise<void> {
  const { fleecing = false, filter = {}, latency } = setup;
  const simulation = createSimulation(seed, {
    latency: latency ?? { minNs: 1_000, maxNs: 2_000_000 },
    record: false,
  });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await createImage(graph, { filename: 'source', format: 'raw', size: diskBytes, quiet: true });
    await createImage(graph, { filename: 'target', format: 'qcow2', size: diskBytes, quiet: true });
    const file = (filename: string): object => ({ driver: 'file', filename });
    const options = { driver: 'raw', 'node-name': 'source', file: file('source') };
    const source = await graph.open(options, { discard: true });
    const content = new Uint8Array(diskBytes);
    const random = new Prng(seed);
    for (let at = 0; at < diskBytes; at += 4 * kib) {
      if (random.below(4) > 0) content.fill(1 + random.below(255), at, at + 4 * kib);
    }
    const writer = await attach(source, Perm.write);
    await writer.write(0, content);
    await writer.close();
    await setup.before?.(graph, source);
    const target = await graph.open(
      {
        driver: 'qcow2',
        'node-name': 'target',
        file: file('target'),
        ...(fleecing ? { backing: 'source' } : {}),
      },
      { discard: true },
    );
    const cbw = await graph.open(
      { driver: 'copy-before-write', 'node-name': 'cbw', file: 'source', target: 'target', ...filter },
      { discard: true },
    );
    const snapshot = await graph.open(
      { driver: 'snapshot-access', 'node-name': 'snapshot', file: 'cbw' },
      { discard: true },
    );
    const guest = await attach(cbw, readWrite);
    await body({ simulation, graph, guest, content });
    await guest.close();
    for (const node of [snapshot, cbw, target, source]) if (!node.closed) await graph.unref(node);
    expect(graph.nodes()).toEqual([]);
  });
}

/** Requests of all sizes, `depth` at a time, until `count` are done. Where they overlap nobody reads the result. */
async function scribble(guest: BlockBackend, random: Prng, count: number, depth: number): Promise<void> {
  const one = async (): Promise<void> => {
    while (count-- > 0) {
      const offset = random.below(diskBytes / 512) * 512;
      const bytes = Math.min(diskBytes - offset, 512 * (1 + random.below(200)));
      const kind = random.below(5);
      if (kind === 0) await guest.writeZeroes(offset, bytes, { mayUnmap: random.below(2) === 0 });
      else if (kind === 1) await guest.discard(offset, bytes);
      else await guest.write(offset, new Uint8Array(bytes).fill(random.below(256)));
    }
  };
  await Promise.all(Array.from({ length: depth }, one));
}

async function checkReads(reader: BlockBackend, content: Uint8Array, random: Prng, count: number) {
  for (let i = 0; i < count; i++) {
    const offset = random.below(diskBytes);
    const bytes = Math.min(diskBytes - offset, 1 + random.below(3 * cluster));
    const read = new Uint8Array(bytes).fill(0xee);
    await reader.read(offset, read);
    const wrong = firstDifference(read, content.subarray(offset, offset + read.length));
    expect(wrong === -1 ? undefined : offset + wrong).toBeUndefined();
  }
}

describe('a point in time is read as it was', () => {
  for (const fleecing of [false, true]) {
    for (const name of fleecing ? ['snapshot', 'target'] : ['snapshot']) {
      const how = `${name}, target ${fleecing ? 'over the source' : 'on its own'}`;
      test(`while guests write: through ${how}`, async () => {
        for (let seed = 1; seed <= 25; seed++) {
          await withDisk(seed, { fleecing }, async ({ graph, guest, content }) => {
            const reader = await attach(graph.getNode(name), Perm.consistentRead);
            const random = new Prng(seed * 7);
            const readers = [1, 2, 3].map(() => checkReads(reader, content, random, 15));
            await Promise.all([scribble(guest, random, 60, 4), ...readers]);
            await checkReads(reader, content, random, 20);
            await reader.close();
          });
        }
      });
    }
  }

  test('while a backup job copies it to a target over the source', async () => {
    for (let seed = 1; seed <= 15; seed++) {
      await withDisk(seed, { fleecing: true }, async ({ simulation, graph, guest, content }) => {
        // A job of its own on the same two nodes: nobody else may use them.
        const [source, target] = [graph.getNode('source'), graph.getNode('target')];
        await guest.close();
        await graph.unref(graph.getNode('snapshot'));
        await graph.unref(graph.getNode('cbw'));
        const user = await attach(source, readWrite);
        const jobs = new JobRegistry({ platform: simulation.platform, emit: () => {} });
        await source.drainBegin();
        const job = await createBackupJob(graph, jobs, {
          source,
          target,
          options: { 'job-id': 'j', device: 'source', sync: 'full', speed: 4 << 20 },
        });
        job.start();
        source.drainEnd();
        const reader = await attach(target, Perm.consistentRead);
        const random = new Prng(seed * 11);
        const reading = [1, 2].map(() => checkReads(reader, content, random, 15));
        await Promise.all([scribble(user, random, 60, 4), ...reading]);
        while (job.status !== 'null') await simulation.platform.clock.yield();
        await checkReads(reader, content, random, 10);
        await reader.close();
        await user.close();
      });
    }
  });

  test('and what is said to be zeros is zeros', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      await withDisk(seed, {}, async ({ graph, guest, content }) => {
        const node = graph.getNode('snapshot');
        const look = async (): Promise<void> => {
          for (let offset = 0; offset < diskBytes; ) {
            const status = await blockStatus(node, offset, diskBytes - offset);
            expect(status.allocated).toBe(true);
            if (status.zero)
              expect(content.subarray(offset, offset + status.bytes).every((byte) => byte === 0)).toBe(true);
            offset += status.bytes;
          }
        };
        await Promise.all([scribble(guest, new Prng(seed), 30, 3), look()]);
        await look();
      });
    }
  });
});

describe('a read of the point in time', () => {
  test('makes writes wait to what it reads from the source, and no others', async () => {
    await withDisk(1, {}, async ({ graph, guest, content }) => {
      const reader = await attach(graph.getNode('snapshot'), Perm.consistentRead);
      const events: string[] = [];
      const read = new Uint8Array(4 * kib);
      const source = graph.getNode('source').driver;
      const { map } = source;
      let go = (): void => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      // The read of the source takes its time.
      const held = { once: true };
      Object.assign(source, {
        async map(...args: Parameters<NonNullable<typeof map>>) {
          if (held.once && args[0] === 4 * kib) {
            held.once = false;
            await gate;
          }
          return map!.apply(source, args);
        },
      });
      const reading = reader.read(4 * kib, read).then(() => events.push('read'));
      const same = guest.write(0, new Uint8Array(512).fill(0xaa)).then(() => events.push('same cluster'));
      await guest.write(cluster, new Uint8Array(512).fill(0xaa));
      events.push('other cluster');
      go();
      await Promise.all([reading, same]);
      expect(events).toEqual(['other cluster', 'read', 'same cluster']);
      expect(Buffer.compare(read, content.subarray(4 * kib, 8 * kib))).toBe(0);
      await reader.close();
    });
  });

  test('is refused when a part of it was discarded, and that is not copied any more', async () => {
    await withDisk(2, { latency: 'instant' }, async ({ graph, guest, content }) => {
      const reader = await attach(graph.getNode('snapshot'), readWrite);
      // Only whole clusters can go.
      await reader.discard(1000, 3 * cluster);
      for (const [offset, bytes] of [
        [cluster, 1],
        [3 * cluster - 1, 2],
        [0, diskBytes],
      ] as const) {
        await expect(reader.read(offset, new Uint8Array(bytes))).rejects.toMatchObject({ errno: 'EACCES' });
      }
      const edges = new Uint8Array(cluster);
      for (const offset of [0, 3 * cluster]) {
        await reader.read(offset, edges);
        expect(Buffer.compare(edges, content.subarray(offset, offset + cluster))).toBe(0);
      }
      await guest.write(0, new Uint8Array(4 * cluster).fill(7));
      const held: number[] = [];
      for (let at = 0; at < 4; at++) {
        const status = await blockStatus(graph.getNode('target'), at * cluster, cluster);
        if (status.allocated && !status.zero) held.push(at);
      }
      expect(held).toEqual([0, 3]);
      await reader.close();
    });
  });

  test('takes no discard from a node that was not opened for it', async () => {
    await withDisk(3, { latency: 'instant' }, async ({ graph, content }) => {
      const node = await graph.open({ driver: 'snapshot-access', file: 'cbw' });
      const reader = await attach(node, readWrite);
      await graph.unref(node);
      await reader.discard(0, diskBytes);
      await checkReads(reader, content, new Prng(1), 3);
      await reader.close();
    });
  });

  test('is all there is: writes are not supported, nor is a child without a point in time', async () => {
    await withDisk(4, { latency: 'instant' }, async ({ graph }) => {
      const writer = await attach(graph.getNode('snapshot'), Perm.write);
      const notSupported = { errno: 'ENOTSUP', message: 'Operation not supported' };
      await expect(writer.write(0, new Uint8Array(512))).rejects.toMatchObject(notSupported);
      await expect(writer.writeZeroes(0, 512)).rejects.toMatchObject(notSupported);
      await writer.close();
      const node = await graph.open({ driver: 'snapshot-access', file: 'target' });
      const reader = await attach(node, Perm.consistentRead);
      await graph.unref(node);
      await expect(reader.read(0, new Uint8Array(512))).rejects.toMatchObject(notSupported);
      await reader.close();
    });
  });
});

describe('copy-before-write', () => {
  const breaking = (onError: string) => ({ filter: { 'on-cbw-error': onError } });

  test('loses the point in time when a copy fails and the guest goes first', async () => {
    await withDisk(5, breaking('break-snapshot'), async ({ simulation, graph, guest }) => {
      const reader = await attach(graph.getNode('snapshot'), Perm.consistentRead);
      await reader.read(0, new Uint8Array(512));
      const fixed = simulation.fail({ errno: 'ENOSPC', path: 'target', type: 'write', times: 1e9 });
      await guest.write(0, new Uint8Array(512).fill(9));
      fixed();
      await expect(reader.read(8 * cluster, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EACCES' });
      await expect(blockStatus(reader.node, 0, 512)).rejects.toMatchObject({ errno: 'EACCES' });
      await guest.write(cluster, new Uint8Array(512).fill(9));
      expect((await blockStatus(graph.getNode('target'), cluster, cluster)).allocated).toBe(false);
      await reader.close();
    });
  });

  test('keeps it when the guest comes second, whose write then fails', async () => {
    await withDisk(6, breaking('break-guest-write'), async ({ simulation, graph, guest, content }) => {
      const reader = await attach(graph.getNode('snapshot'), Perm.consistentRead);
      const fixed = simulation.fail({ errno: 'ENOSPC', path: 'target', type: 'write', times: 1e9 });
      await expect(guest.write(0, new Uint8Array(512).fill(9))).rejects.toMatchObject({ errno: 'ENOSPC' });
      await checkReads(reader, content, new Prng(6), 10);
      fixed();
      await guest.write(0, new Uint8Array(512).fill(9));
      await checkReads(reader, content, new Prng(7), 10);
      await reader.close();
    });
  });

  for (const [onError, outcome] of [
    ['break-guest-write', 'ETIMEDOUT'],
    ['break-snapshot', undefined],
  ] as const) {
    test(`counts a copy as failed after cbw-timeout: ${onError}`, async () => {
      const filter = { 'on-cbw-error': onError, 'cbw-timeout': 2 };
      await withDisk(7, { filter }, async ({ simulation, graph, guest, content }) => {
        const { clock } = simulation.platform;
        const targetFile = graph.getNode('target').children.get('file')!.node.driver;
        const { write } = targetFile;
        Object.assign(targetFile, {
          async write(...args: Parameters<NonNullable<typeof write>>) {
            await new Promise<void>((resolve) => void clock.setTimer(5e9, resolve));
            return write!.apply(targetFile, args);
          },
        });
        const start = clock.nowNs();
        const written = guest.write(0, new Uint8Array(512).fill(9)).then(
          () => undefined,
          (error) => error.errno,
        );
        expect(await written).toBe(outcome);
        const seconds = (clock.nowNs() - start) / 1e9;
        expect(seconds).toBeGreaterThanOrEqual(2);
        expect(seconds).toBeLessThan(3);
        Object.assign(targetFile, { write });
        const reader = await attach(graph.getNode('snapshot'), Perm.consistentRead);
        if (outcome === undefined) {
          await expect(reader.read(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EACCES' });
        } else {
          // The copy goes on.
          await new Promise<void>((resolve) => void clock.setTimer(30e9, resolve));
          await guest.write(0, new Uint8Array(512).fill(9));
          await checkReads(reader, content, new Prng(8), 10);
        }
        await reader.close();
      });
    });
  }

  test('copies, and lets be read, only what its bitmap has dirty', async () => {
    const before = async (_graph: BlockGraph, source: BlockNode): Promise<void> => {
      bitmapsOf(source)
        .add('b', { granularity: 512 })
        .bits.set(cluster + 700, 10);
    };
    const filter = { bitmap: { node: 'source', name: 'b' } };
    await withDisk(8, { filter, before, latency: 'instant' }, async ({ graph, guest, content }) => {
      const reader = await attach(graph.getNode('snapshot'), Perm.consistentRead);
      await guest.write(0, new Uint8Array(3 * cluster).fill(7));
      const read = new Uint8Array(cluster);
      await reader.read(cluster, read);
      expect(Buffer.compare(read, content.subarray(cluster, 2 * cluster))).toBe(0);
      for (const offset of [cluster - 1, 2 * cluster - 1, 8 * cluster]) {
        await expect(reader.read(offset, new Uint8Array(2))).rejects.toMatchObject({ errno: 'EACCES' });
      }
      const target = graph.getNode('target');
      expect((await blockStatus(target, 0, cluster)).allocated).toBe(false);
      expect((await blockStatus(target, cluster, cluster)).allocated).toBe(true);
      await reader.close();
    });
  });
});
