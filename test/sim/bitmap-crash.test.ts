/**
 * What a crash can do to persistent dirty bitmaps: at any moment, with any part of what was not flushed lost, the image
 * is consistent but for leaks and opens, and a bitmap that it shows as consistent misses nothing that differs from
 * what was on the disk when the bitmap was made.
 */
import { describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { Perm } from '../../host/block/permissions.ts';
import { qcow2 } from '../../host/formats/qcow2/driver.ts';
import { createGraph } from '../../host/graph.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { crashStates, createSimulation, type SimStorage } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { attach, readWriteResize } from '../support/attach.ts';
import { kib } from '../support/units.ts';
import { checkBytes, imagePath, makeImage } from './crash-harness.ts';

const granularity = 512;

interface Disk {
  node: BlockNode;
  write(offset: number, bytes: number): Promise<void>;
  read(): Promise<Uint8Array>;
}

/** Opens the image, lets `use` work with it, and closes it. */
async function withDisk<T>(
  platform: Platform,
  readOnly: boolean,
  use: (disk: Disk) => Promise<T>,
): Promise<T> {
  const graph = createGraph({ platform, drivers: [file, qcow2] });
  const node = await graph.open({
    driver: 'qcow2',
    'read-only': readOnly,
    file: { driver: 'file', filename: imagePath },
  });
  const backend = await attach(node, readOnly ? Perm.consistentRead : readWriteResize);
  const result = await use({
    node,
    write: (offset, bytes) => backend.write(offset, new Uint8Array(bytes).fill(++pattern % 255)),
    async read() {
      const content = new Uint8Array(backend.length);
      await backend.read(0, content);
      return content;
    },
  });
  await backend.close();
  await graph.unref(node);
  return result;
}
let pattern = 0;

/** Sectors in which two disks differ, as offsets. */
function differing(a: Uint8Array, b: Uint8Array): number[] {
  const offsets: number[] = [];
  for (let at = 0; at < a.length; at += 512) {
    if (Buffer.compare(a.subarray(at, at + 512), b.subarray(at, at + 512)) !== 0) offsets.push(at);
  }
  return offsets;
}

/** What is wrong with a state, and how many bitmaps it shows as consistent. */
async function examine(
  storage: SimStorage,
  original: Uint8Array,
): Promise<{ wrong: string[]; usable: string[] }> {
  const broken = await checkBytes(storage.readFile(imagePath));
  const simulation = createSimulation(1, { storage, latency: 'instant', record: false });
  return withDisk(simulation.platform, true, async ({ node, read }) => {
    const changed = differing(await read(), original);
    const wrong = broken === undefined ? [] : [broken];
    const usable: string[] = [];
    for (const bitmap of bitmapsOf(node)) {
      if (bitmap.inconsistent) continue;
      usable.push(bitmap.name!);
      if (bitmap.name === 'off') continue;
      const missing = changed.filter((offset) => !bitmap.bits.get(offset));
      if (missing.length > 0) wrong.push(`bitmap '${bitmap.name}' misses ${missing}`);
    }
    return { wrong, usable };
  });
}

describe('a crash', () => {
  for (const { name, image } of [
    { name: 'small clusters', image: { cluster_size: 512, refcount_bits: 64, size: 32 * kib } },
    { name: 'larger clusters', image: { cluster_size: 4096, size: 256 * kib } },
    { name: 'lazy refcounts', image: { cluster_size: 4096, size: 256 * kib, lazy_refcounts: true } },
  ]) {
    test(`with ${name} leaves no bitmap that misses a write`, { timeout: 60_000 }, async () => {
      const storage = await makeImage(image);
      const first = createSimulation(1, { storage, record: false });
      await first.run(() =>
        withDisk(first.platform, false, async ({ node, write }) => {
          await write(0, 8 * kib);
          bitmapsOf(node).add('kept', { persistent: true, granularity });
          bitmapsOf(node).add('off', { persistent: true, granularity, disabled: true });
          bitmapsOf(node).add('removed', { persistent: true, granularity: 4096 });
          await write(2 * kib, 512);
        }),
      );
      const before = createSimulation(1, { storage: storage.clone(), record: false, latency: 'instant' });
      const original = await withDisk(before.platform, true, ({ read }) => read());
      const second = createSimulation(2, { storage });
      await second.run(() =>
        withDisk(second.platform, false, async ({ node, write }) => {
          const bitmaps = bitmapsOf(node);
          await write(16 * kib, kib);
          bitmaps.add('made', { persistent: true, granularity }).bits.setAll();
          const removed = bitmaps.get('removed');
          await Promise.all([bitmaps.removeStored(removed), write(20 * kib, 2 * kib), write(0, 512)]);
          bitmaps.remove(removed);
          await write(30 * kib, 512);
        }),
      );
      const failures: string[] = [];
      const seen = new Set<string>();
      for (const { storage: state, description } of crashStates(second.journal!, {
        maxStates: 1500,
        randomPerCut: 12,
      })) {
        const { wrong, usable } = await examine(state, original);
        seen.add(usable.sort().join(' '));
        if (wrong.length > 0) failures.push(`${description}: ${wrong.join('; ')}`);
      }
      expect(failures).toEqual([]);
      // The search has met the beginning and the end, and no moment at which bitmaps are lost.
      expect(seen).toContain('kept off removed');
      expect(seen).toContain('kept made off');
      for (const usable of seen) expect(usable).toMatch(/^kept (made )?off/);
    });
  }
});
