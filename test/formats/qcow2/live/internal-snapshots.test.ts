/**
 * Internal snapshots against a model: a disk is an array of bytes, a snapshot a copy of it and of the VM state saved
 * before. After every change of the snapshots the image is checked as it would be after a crash, and every snapshot read.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../../../host/block/backend.ts';
import type { BlockNode } from '../../../../host/block/node.ts';
import { Perm } from '../../../../host/block/permissions.ts';
import type { InternalSnapshot, SnapshotStorage } from '../../../../host/block/snapshot-storage.ts';
import { applySnapshot, findSnapshot, viewSnapshot } from '../../../../host/block/snapshots.ts';
import { checkImage } from '../../../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { qcow2 } from '../../../../host/formats/qcow2/driver.ts';
import { createGraph } from '../../../../host/graph.ts';
import type { Platform } from '../../../../host/platform/platform.ts';
import { createSimulation, type FaultRule, type SimStorage } from '../../../../host/platform/sim/index.ts';
import { file } from '../../../../host/protocols/file/driver.ts';
import { attach } from '../../../support/attach.ts';
import { kib } from '../../../support/units.ts';

const path = '/disk.qcow2';

interface Opened {
  node: BlockNode;
  backend: BlockBackend;
  storage: SnapshotStorage;
  close(): Promise<void>;
}

class World {
  constructor(
    readonly storage: SimStorage,
    readonly options: Record<string, unknown> = {},
  ) {}

  private get platform() {
    return createSimulation(1, { storage: this.storage, latency: 'instant', record: false }).platform;
  }

  /** A platform of which requests can be made to fail. */
  failing(): { platform: Platform; fail(rule: FaultRule): () => void } {
    const simulation = createSimulation(1, { storage: this.storage, latency: 'instant', record: false });
    return { platform: simulation.platform, fail: (rule) => simulation.fail(rule) };
  }

  async open(readOnly = false, platform = this.platform): Promise<Opened> {
    const graph = createGraph({ platform, drivers: [file, qcow2], emit: () => {} });
    const node = await graph.open(
      { driver: 'qcow2', discard: 'unmap', file: { driver: 'file', filename: path }, ...this.options },
      { readOnly },
    );
    const backend = await attach(node, readOnly ? Perm.consistentRead : Perm.all);
    return {
      node,
      backend,
      storage: node.driver.snapshots!,
      async close() {
        await backend.close();
        await graph.unref(node);
      },
    };
  }

  /** Findings of a consistency check of the file as it is now. */
  async check(): Promise<string[]> {
    const lines: string[] = [];
    const bytes = this.storage.readFile(path);
    const refuse = () => Promise.reject(new Error('a check without repair changes nothing'));
    await checkImage(
      {
        length: Math.ceil(bytes.length / 512) * 512,
        async read(offset, buffer) {
          buffer.fill(0);
          if (offset < bytes.length) buffer.set(bytes.subarray(offset, offset + buffer.length));
        },
        write: refuse,
        flush: refuse,
      },
      { fix: { leaks: false, errors: false }, report: (line) => lines.push(line) },
    );
    return lines;
  }

  async view(snapshot: { id: string }): Promise<{ disk: Uint8Array; vmState: Uint8Array }> {
    const opened = await this.open(true);
    try {
      const found = findSnapshot(opened.storage, { id: snapshot.id })!;
      const state = new Uint8Array(Number(found.vmStateBytes));
      await opened.storage.loadVmState(found, 0, state);
      await viewSnapshot(opened.node, found);
      return { disk: await readAll(opened.backend), vmState: state };
    } finally {
      await opened.close();
    }
  }
}

async function readAll(backend: BlockBackend): Promise<Uint8Array> {
  const bytes = new Uint8Array(backend.length);
  if (bytes.length > 0) await backend.read(0, bytes);
  return bytes;
}

async function makeWorld(
  values: Record<string, string | number | boolean> & { size: number },
  options: Record<string, unknown> = {},
): Promise<World> {
  const { platform, storage } = createSimulation(1, { latency: 'instant', record: false });
  const image = await platform.files.open(path, { write: true, create: 'exclusive' });
  await createImage(image, values);
  await image.close();
  return new World(storage, options);
}

const plain = (name: string, vmStateBytes = 0) => ({
  name,
  dateSeconds: 1_700_000_000,
  dateNanoseconds: 5,
  vmClockNs: 12n,
  vmStateBytes,
  icount: undefined,
});

type Step =
  | { kind: 'write'; at: number; bytes: number; value: number }
  | { kind: 'compress'; at: number; value: number }
  | { kind: 'zero'; at: number; bytes: number; unmap: boolean }
  | { kind: 'discard'; at: number; clusters: number }
  | { kind: 'resize'; sectors: number }
  | { kind: 'create'; vmState: number }
  | { kind: 'apply'; which: number }
  | { kind: 'delete'; which: number }
  | { kind: 'reopen' };

const position = fc.nat({ max: 999 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      at: position,
      bytes: fc.integer({ min: 1, max: 20_000 }),
      value: fc.integer({ min: 1, max: 255 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('compress' as const),
      at: position,
      value: fc.integer({ min: 1, max: 255 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('zero' as const),
      at: position,
      bytes: fc.integer({ min: 1, max: 20_000 }),
      unmap: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('discard' as const),
      at: position,
      clusters: fc.integer({ min: 1, max: 20 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resize' as const), sectors: fc.integer({ min: 1, max: 400 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      vmState: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9000 })),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('apply' as const), which: fc.nat({ max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), which: fc.nat({ max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
);

interface Kept {
  snapshot: { id: string };
  disk: Uint8Array;
  vmState: Uint8Array;
}

/** Plays the steps on an image and on the model. */
async function play(
  world: World,
  clusterBytes: number,
  version: number,
  steps: readonly Step[],
): Promise<void> {
  let opened = await world.open();
  let disk = await readAll(opened.backend);
  const kept: Kept[] = [];
  const current = (one: Kept): InternalSnapshot => findSnapshot(opened.storage, one.snapshot)!;
  const verify = async () => {
    expect(Buffer.compare(await readAll(opened.backend), disk)).toBe(0);
    await opened.close();
    expect(await world.check()).toEqual([]);
    for (const one of kept) {
      const { disk: seen, vmState } = await world.view(one.snapshot);
      expect(seen.length).toBe(one.disk.length);
      expect(Buffer.compare(seen, one.disk)).toBe(0);
      expect(Buffer.compare(vmState, one.vmState)).toBe(0);
    }
    opened = await world.open();
    expect(opened.storage.list().map(({ id }) => id)).toEqual(kept.map(({ snapshot }) => snapshot.id));
  };
  for (const [index, step] of steps.entries()) {
    const at = 'at' in step ? Math.floor((step.at / 1000) * disk.length) : 0;
    const cluster = at - (at % clusterBytes);
    switch (step.kind) {
      case 'write': {
        const data = new Uint8Array(Math.min(step.bytes, disk.length - at)).fill(step.value);
        await opened.backend.write(at, data);
        disk.set(data, at);
        break;
      }
      case 'compress': {
        // Compressed data cannot replace what is mapped.
        const { type } = await opened.node.driver.map!(cluster, clusterBytes);
        if (type !== 'unallocated') break;
        const data = new Uint8Array(Math.min(clusterBytes, disk.length - cluster)).fill(step.value);
        await opened.backend.writeCompressed(cluster, data);
        disk.set(data, cluster);
        break;
      }
      case 'zero': {
        const bytes = Math.min(step.bytes, disk.length - at);
        await opened.backend.writeZeroes(at, bytes, { mayUnmap: step.unmap });
        disk.fill(0, at, at + bytes);
        break;
      }
      case 'discard': {
        const bytes = Math.min(step.clusters * clusterBytes, disk.length - cluster);
        await opened.backend.discard(cluster, bytes);
        disk.fill(0, cluster, cluster + bytes);
        break;
      }
      case 'resize': {
        if (version < 3 && kept.length > 0) break;
        await opened.backend.truncate(step.sectors * 512);
        const resized = new Uint8Array(step.sectors * 512);
        resized.set(disk.subarray(0, resized.length));
        disk = resized;
        break;
      }
      case 'create': {
        const vmState = Uint8Array.from({ length: step.vmState }, (_, i) => (i * 7 + index) % 251);
        const half = Math.floor(vmState.length / 3);
        await opened.storage.saveVmState(0, vmState.subarray(0, half));
        await opened.storage.saveVmState(half, vmState.subarray(half));
        const snapshot = await opened.storage.create(plain(`s${index}`, step.vmState));
        kept.push({ snapshot, disk: disk.slice(), vmState });
        await verify();
        break;
      }
      case 'apply': {
        if (kept.length === 0) break;
        const one = kept[step.which % kept.length]!;
        await applySnapshot(opened.node, current(one));
        disk = one.disk.slice();
        await verify();
        break;
      }
      case 'delete': {
        if (kept.length === 0) break;
        const [one] = kept.splice(step.which % kept.length, 1);
        await opened.storage.delete(current(one!));
        await verify();
        break;
      }
      case 'reopen':
        await verify();
    }
  }
  await verify();
  await opened.close();
}

const shapes = [
  { name: 'clusters of 512 bytes, tiny caches', image: { cluster_size: 512, size: 128 * kib }, cache: 512 },
  { name: 'clusters of 4 KiB', image: { cluster_size: 4096, size: 100 * kib } },
  { name: 'wide refcounts', image: { cluster_size: 512, refcount_bits: 64, size: 96 * kib } },
  { name: 'lazy refcounts', image: { cluster_size: 1024, lazy_refcounts: true, size: 128 * kib } },
  { name: 'version 2', image: { cluster_size: 1024, compat: '0.10', size: 128 * kib } },
];

describe('a disk and its snapshots have the data of the model, and the image is consistent:', () => {
  for (const { name, image, cache } of shapes) {
    test(name, { timeout: 120_000 }, async () => {
      // No write of an image in order may hit metadata, whatever is looked for.
      const options = {
        'overlap-check': 'all',
        ...(cache
          ? { 'l2-cache-size': 1024, 'l2-cache-entry-size': cache, 'refcount-cache-size': 2048 }
          : {}),
      };
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
          const world = await makeWorld(image, options);
          await play(world, image.cluster_size, 'compat' in image ? 2 : 3, steps);
        }),
        { seed: 5, numRuns: 25 },
      );
    });
  }
});

describe('when the file fails', () => {
  /** An image with two snapshots and something else on the disk. */
  async function prepare(): Promise<{ world: World; disk: Uint8Array; kept: Kept[] }> {
    const world = await makeWorld({ cluster_size: 512, size: 64 * kib });
    const opened = await world.open();
    const kept: Kept[] = [];
    for (const value of [1, 2]) {
      await opened.backend.write(value * 3000, new Uint8Array(9000).fill(value));
      await opened.storage.saveVmState(0, new Uint8Array(700).fill(value));
      const snapshot = await opened.storage.create(plain(`s${value}`, 700));
      kept.push({ snapshot, disk: await readAll(opened.backend), vmState: new Uint8Array(700).fill(value) });
    }
    await opened.backend.write(20_000, new Uint8Array(9000).fill(3));
    const disk = await readAll(opened.backend);
    await opened.close();
    return { world, disk, kept };
  }

  const changes: Record<string, (opened: Opened, kept: readonly Kept[]) => Promise<unknown>> = {
    create: async ({ storage }) => storage.create(plain('new')),
    delete: async ({ storage }, kept) => storage.delete(findSnapshot(storage, kept[0]!.snapshot)!),
    apply: async ({ node, storage }, kept) => applySnapshot(node, findSnapshot(storage, kept[0]!.snapshot)!),
  };

  test.each(Object.keys(changes))(
    'at any one moment of a %s, all data is there, and the next one works',
    { timeout: 60_000 },
    async (kind) => {
      const change = changes[kind]!; // one of its keys
      let failures = 0;
      for (let after = 0; ; after++) {
        const { world, disk, kept } = await prepare();
        const { platform, fail } = world.failing();
        const opened = await world.open(false, platform);
        const cancel = fail({ errno: 'EIO', after, times: 1 });
        let failed = false;
        try {
          await change(opened, kept);
        } catch (error) {
          expect(error).toMatchObject({ errno: 'EIO' });
          failed = true;
          failures++;
        }
        cancel();
        const seen = await readAll(opened.backend);
        const ids = opened.storage.list().map(({ id }) => id);
        const isApplied = Buffer.compare(seen, kept[0]!.disk) === 0;
        expect(isApplied || Buffer.compare(seen, disk) === 0).toBe(true);
        await opened.close();
        const findings = (await world.check()).filter((line) => !/^Leaked|OFLAG_COPIED|^$/.test(line));
        expect(findings).toEqual([]);
        for (const one of kept.filter(({ snapshot }) => ids.includes(snapshot.id))) {
          const { disk: data, vmState } = await world.view(one.snapshot);
          expect(Buffer.compare(data, one.disk)).toBe(0);
          expect(Buffer.compare(vmState, one.vmState)).toBe(0);
        }
        const again = await world.open();
        expect(Buffer.compare(await readAll(again.backend), seen)).toBe(0);
        expect(again.storage.list().map(({ id }) => id)).toEqual(ids);
        const next = await again.storage.create(plain('next'));
        await again.storage.delete(next);
        await again.close();
        if (!failed) break;
      }
      expect(failures).toBeGreaterThan(5);
    },
  );
});

describe('an internal snapshot', () => {
  test('that would make a refcount overflow is refused, and nothing has changed', async () => {
    const world = await makeWorld({ cluster_size: 512, refcount_bits: 2, size: 64 * kib });
    const opened = await world.open();
    await opened.backend.write(0, new Uint8Array(40_000).fill(1));
    await opened.storage.create(plain('one'));
    await opened.storage.create(plain('two'));
    await opened.backend.write(0, new Uint8Array(100).fill(2));
    await expect(opened.storage.create(plain('three'))).rejects.toMatchObject({ errno: 'EINVAL' });
    await expect(applySnapshot(opened.node, opened.storage.list()[0]!)).rejects.toMatchObject({
      errno: 'EINVAL',
    });
    await opened.close();
    expect(await world.check()).toEqual([]);
    const again = await world.open();
    expect(again.storage.list().map(({ name }) => name)).toEqual(['one', 'two']);
    expect((await readAll(again.backend)).slice(0, 200)).toEqual(
      new Uint8Array(200).fill(2, 0, 100).fill(1, 100),
    );
    await again.close();
  });

  test('is not made by an image that is open read-only, which alone can show one', async () => {
    const world = await makeWorld({ cluster_size: 512, size: 64 * kib });
    const opened = await world.open();
    const snapshot = await opened.storage.create(plain('one'));
    await expect(viewSnapshot(opened.node, snapshot)).rejects.toThrow('Device is not readonly');
    await opened.storage.delete(snapshot);
    await expect(opened.storage.delete(snapshot)).rejects.toMatchObject({ errno: 'ENOENT' });
    await opened.close();
    const readOnly = await world.open(true);
    await expect(readOnly.storage.create(plain('two'))).rejects.toMatchObject({ errno: 'EACCES' });
    await readOnly.close();
  });

  test('is not applied while the image has dirty bitmaps', async () => {
    const world = await makeWorld({ cluster_size: 4096, size: 64 * kib });
    const opened = await world.open();
    const snapshot = await opened.storage.create(plain('one'));
    bitmapsOf(opened.node).add('b', { persistent: true });
    await opened.close();
    const again = await world.open();
    const same = findSnapshot(again.storage, snapshot)!;
    await expect(applySnapshot(again.node, same)).rejects.toThrow('Device has active dirty bitmaps');
    await again.close();
  });

  test('gets the number after the largest that an id begins with', async () => {
    const world = await makeWorld({ cluster_size: 4096, size: 0 });
    const opened = await world.open();
    const ids: string[] = [];
    for (const name of ['a', 'b', 'a']) ids.push((await opened.storage.create(plain(name))).id);
    await opened.storage.delete(opened.storage.list()[1]!);
    ids.push((await opened.storage.create(plain(''))).id);
    await opened.storage.delete(opened.storage.list().at(-1)!);
    ids.push((await opened.storage.create(plain('c'))).id);
    expect(ids).toEqual(['1', '2', '3', '4', '4']);
    await opened.close();
    expect(await world.check()).toEqual([]);
  });
});
