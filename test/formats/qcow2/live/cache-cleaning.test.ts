/** cache-clean-interval: what nobody uses for so long leaves the caches, and nothing else does. */
import { expect, test } from 'vitest';
import type { BlockBackend } from '../../../../host/block/backend.ts';
import { Perm } from '../../../../host/block/permissions.ts';
import { drivers } from '../../../../host/drivers.ts';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { createGraph } from '../../../../host/graph.ts';
import { createSimulation } from '../../../../host/platform/sim/index.ts';
import { type ArrayDisk, arrayProtocol } from '../../../support/array-driver.ts';
import { attach } from '../../../support/attach.ts';
import { kib, mib } from '../../../support/units.ts';

interface World {
  disk: BlockBackend;
  sleep(seconds: number): Promise<void>;
  /** How often the file is read for a read of 512 bytes. */
  readsFor(offset: number): Promise<number>;
  reopen(seconds: number): Promise<void>;
}

async function withImage(seconds: number, act: (world: World) => Promise<void>): Promise<void> {
  const { platform } = createSimulation(1);
  const files: ArrayDisk[] = [];
  const graph = createGraph({ platform, drivers: [...drivers, arrayProtocol(files)], emit: () => {} });
  const bytes = await graph.open({ driver: 'array', 'node-name': 'file', size: 0 });
  const file = await attach(bytes, Perm.all);
  file.allowWriteBeyondEnd = true;
  await createImage(file, { size: 4 * mib, cluster_size: 4 * kib, preallocation: 'metadata' });
  await file.close();
  const options = {
    driver: 'qcow2',
    'node-name': 'disk',
    file: 'file',
    'l2-cache-size': 64 * kib,
    'l2-cache-entry-size': 512,
  };
  const node = await graph.open({ ...options, 'cache-clean-interval': seconds });
  const disk = await attach(node, Perm.all);
  const [held] = files as [ArrayDisk];
  const { read } = held;
  let reads = 0;
  held.read = (offset, buffer) => {
    reads++;
    return read.call(held, offset, buffer);
  };
  await act({
    disk,
    sleep: (seconds) => new Promise((resolve) => platform.clock.setTimer(seconds * 1e9, resolve)),
    async readsFor(offset) {
      const before = reads;
      await disk.read(offset, new Uint8Array(512));
      return reads - before;
    },
    reopen: (seconds) => graph.reopen([{ node, options: { ...options, 'cache-clean-interval': seconds } }]),
  });
  await disk.close();
  await graph.unref(node);
  await graph.unref(bytes);
}

test('a table that nobody uses is read again', () =>
  withImage(10, async ({ sleep, readsFor }) => {
    expect(await readsFor(0)).toBe(2);
    expect(await readsFor(0)).toBe(1);
    await sleep(25);
    expect(await readsFor(0)).toBe(2);
  }));

test('one that is used stays, beside others that go', () =>
  withImage(10, async ({ sleep, readsFor }) => {
    await readsFor(0);
    await readsFor(2 * mib);
    for (let i = 0; i < 5; i++) {
      await sleep(6);
      expect(await readsFor(0)).toBe(1);
    }
    expect(await readsFor(2 * mib)).toBe(2);
  }));

test('all stay without an interval', () =>
  withImage(0, async ({ sleep, readsFor }) => {
    await readsFor(0);
    await sleep(10_000);
    expect(await readsFor(0)).toBe(1);
  }));

test('what is not on the disk yet stays', () =>
  withImage(10, async ({ disk, sleep }) => {
    await disk.writeZeroes(0, 4 * kib, { mayUnmap: true });
    await disk.write(4 * kib, new Uint8Array(4 * kib).fill(7));
    await sleep(100);
    const content = new Uint8Array(8 * kib);
    await disk.read(0, content);
    expect(content).toEqual(new Uint8Array(8 * kib).fill(7, 4 * kib));
    await disk.flush();
    await sleep(100);
    await disk.read(0, content);
    expect(content).toEqual(new Uint8Array(8 * kib).fill(7, 4 * kib));
  }));

test('another interval holds from a reopen on', () =>
  withImage(10, async ({ sleep, readsFor, reopen }) => {
    await reopen(1000);
    await readsFor(0);
    await sleep(900);
    expect(await readsFor(0)).toBe(1);
    await reopen(0);
    await readsFor(0);
    await sleep(10_000);
    expect(await readsFor(0)).toBe(1);
  }));
