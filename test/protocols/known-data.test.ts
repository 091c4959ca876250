/** What a file remembers of where its data are: how often its file system is asked, and that no answer is a wrong one. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Platform } from '../../host/platform/platform.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { KnownData } from '../../host/protocols/file/known-data.ts';
import { openDriver } from '../support/open-driver.ts';

const pageBytes = 4096;

/** Tells how often the file system was asked for extents. */
function counting({ files, ...platform }: Platform): { platform: Platform; asked(): number } {
  let count = 0;
  const open: typeof files.open = async (path, options) => {
    const opened = await files.open(path, options);
    const extent = opened.extent.bind(opened);
    opened.extent = (offset) => {
      count++;
      return extent(offset);
    };
    return opened;
  };
  return { platform: { ...platform, files: { ...files, open } }, asked: () => count };
}

async function openData(bytes: number) {
  const { platform, storage } = createSimulation(1, { latency: 'instant' });
  storage.writeFile('image', new Uint8Array(bytes).fill(1));
  const counted = counting(platform);
  const { driver } = await openDriver(file, counted.platform, { filename: 'image' });
  return { ...counted, driver };
}

test('asks once where a stretch of data ends, in however many pieces it is gone through', async () => {
  const { driver, asked } = await openData(64 * pageBytes);
  for (let at = 0; at < 64 * pageBytes; at += pageBytes) {
    expect(await driver.map!(at, pageBytes)).toEqual({ type: 'own', bytes: pageBytes, zero: false });
  }
  expect(asked()).toBe(1);
});

test('does not ask again for what a guest has written or zeroed somewhere else', async () => {
  const { driver, asked } = await openData(64 * pageBytes);
  await driver.map!(0, pageBytes);
  for (let at = 0; at < 32 * pageBytes; at += pageBytes) {
    await driver.write!(40 * pageBytes, new Uint8Array(pageBytes).fill(2), {});
    await driver.writeZeroes!(48 * pageBytes, pageBytes, { mayUnmap: true });
    await driver.discard!(56 * pageBytes, pageBytes);
    await driver.map!(at, pageBytes);
  }
  expect(asked()).toBe(1);
});

test('asks once for each of those who go through a file at different places', async () => {
  const { driver, asked } = await openData(64 * pageBytes);
  await driver.discard!(32 * pageBytes, pageBytes);
  for (let at = 0; at < 16 * pageBytes; at += pageBytes) {
    await driver.map!(at, pageBytes);
    await driver.map!(40 * pageBytes + at, pageBytes);
  }
  expect(asked()).toBe(2);
});

test.each(['writeZeroes', 'discard'] as const)('sees what %s has made a hole', async (change) => {
  const { driver } = await openData(8 * pageBytes);
  await driver.map!(0, 8 * pageBytes);
  await driver[change]!(2 * pageBytes, pageBytes, { mayUnmap: true });
  expect(await driver.map!(0, 8 * pageBytes)).toMatchObject({ bytes: 2 * pageBytes, zero: false });
  expect(await driver.map!(2 * pageBytes, pageBytes)).toMatchObject({ bytes: pageBytes, zero: true });
  expect(await driver.map!(3 * pageBytes, pageBytes)).toMatchObject({ bytes: pageBytes, zero: false });
});

test('sees a file become shorter and longer again', async () => {
  const { driver } = await openData(8 * pageBytes);
  await driver.map!(0, 8 * pageBytes);
  await driver.truncate!(2 * pageBytes, { preallocation: 'off' });
  await driver.truncate!(8 * pageBytes, { preallocation: 'off' });
  expect(await driver.map!(2 * pageBytes, pageBytes)).toMatchObject({ zero: true });
});

test('remembers nothing that was not told, or was forgotten, and not too much', () => {
  const place = fc.nat({ max: 60 });
  const change = fc.record({ add: fc.boolean(), offset: place, bytes: fc.integer({ min: 1, max: 8 }) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      const known = new KnownData();
      const model = new Set<number>();
      for (const { add, offset, bytes } of changes) {
        for (let at = offset; at < offset + bytes; at++) {
          if (add) model.add(at);
          else model.delete(at);
        }
        if (add) known.add(offset, bytes);
        else known.forget(offset, bytes);
        for (let at = 0; at < 70; at++) {
          for (let i = 0; i < known.bytesAt(at); i++) expect(model.has(at + i)).toBe(true);
        }
      }
      const last = changes.at(-1);
      if (last?.add) expect(known.bytesAt(last.offset)).toBeGreaterThanOrEqual(last.bytes);
    }),
  );
});
