/**
 * A guest that writes while the file system gets full: what it was told is written stays written, also when a flush
 * fails, and nothing leaks: metadata find their place before a write succeeds. Left out are images whose refcount blocks
 * are so small that a few writes need several new ones.
 *
 * The file system has room for some pages more than the image, from none to where every write succeeds.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { Seeded } from '../support/seeded.ts';
import { kib, mib } from '../support/units.ts';
import { findingsIn, imagePath, makeImage, openImage } from './crash-harness.ts';

const pageBytes = 4096;

const shapes = [
  { cluster_size: 512, refcount_bits: 16, size: 64 * mib },
  { cluster_size: 4096, size: 64 * mib },
  { cluster_size: 4096, size: 64 * mib, lazy_refcounts: true },
  { cluster_size: 64 * kib, size: 2048 * mib },
];

/** Whether it succeeded; a full disk is the only reason not to. */
async function succeeds(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(BlockError);
    expect((error as BlockError).errno).toBe('ENOSPC');
    return false;
  }
}

/** Writes all over the disk, some of it twice. True when nothing failed. `written`: what reads back. */
async function use(disk: BlockBackend, seed: number, written: Map<number, number>): Promise<boolean> {
  const random = new Seeded(seed);
  let good = true;
  for (let count = 1; count <= 24; count++) {
    const offset = 4 * kib * random.below(disk.length / (4 * kib));
    const data = Buffer.alloc(random.pick([512, 4 * kib]), count);
    const done = await succeeds(() => disk.write(offset, data));
    if (done) written.set(offset, count);
    // One that fails may have changed what was there.
    else written.delete(offset);
    good &&= done;
    if (random.oneIn(5) && !(await succeeds(() => disk.flush()))) good = false;
  }
  return good;
}

describe('a guest on a disk that gets full', () => {
  test.each(shapes)('loses nothing with %j', { timeout: 120_000 }, async (shape) => {
    const original = await makeImage(shape);
    for (let pages = 0, seed = 1; ; pages += 5, seed++) {
      expect(pages).toBeLessThan(2000);
      const storage = original.clone();
      const capacityBytes = storage.allocatedBytes + pages * pageBytes;
      const options = { storage, capacityBytes, latency: 'instant', record: false } as const;
      const written = new Map<number, number>();
      const { platform } = createSimulation(seed, options);
      const image = await openImage(platform);
      const good = await use(image.backend, seed, written);
      await succeeds(() => image.close());
      const again = await openImage(
        createSimulation(1, { storage, record: false, latency: 'instant' }).platform,
        { 'read-only': true },
      );
      for (const [offset, byte] of written) {
        const sector = Buffer.alloc(512);
        await again.backend.read(offset, sector);
        expect(sector, `room for ${pages} pages, at ${offset}`).toEqual(Buffer.alloc(512, byte));
      }
      await again.close();
      if (!('lazy_refcounts' in shape))
        expect((await findingsIn(storage.readFile(imagePath))).lines, `room for ${pages} pages`).toEqual([]);
      if (good) break;
    }
  });
});
