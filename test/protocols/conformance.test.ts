/** What every protocol that keeps data promises, whatever it keeps it in. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { Driver } from '../../host/block/driver.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { memory } from '../../host/protocols/memory.ts';
import { openDriver } from '../support/open-driver.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const length = 1 << 20;
let counter = 0;

async function openFileOn(platform: typeof nodePlatform, filename: string): Promise<Driver> {
  await file.create!.createFile!(platform, filename, { size: length });
  return (await openDriver(file, platform, { filename })).driver;
}

const kinds: [string, () => Promise<Driver>][] = [
  ['file', () => openFileOn(nodePlatform, scratch(`image-${counter++}`))],
  ['file in a simulation', () => openFileOn(createSimulation(counter++).platform, 'image')],
  [
    'file on a host that cannot zero or discard',
    () => openFileOn(createSimulation(counter++, { fallocate: false, latency: 'instant' }).platform, 'image'),
  ],
  ['memory', async () => (await openDriver(memory, createSimulation(1).platform, { size: length })).driver],
];

const range = fc
  .tuple(fc.nat(length - 1), fc.oneof(fc.integer({ min: 1, max: 4096 }), fc.integer({ min: 1, max: length })))
  .map(([offset, bytes]) => ({ offset, bytes: Math.min(bytes, length - offset) }));
const step = fc.oneof(
  fc.record({ type: fc.constant('write' as const), range, value: fc.nat(255) }),
  fc.record({ type: fc.constant('zero' as const), range, mayUnmap: fc.boolean() }),
  fc.record({ type: fc.constant('discard' as const), range }),
  fc.record({ type: fc.constant('flush' as const) }),
);

/** False when the driver asked for the fallback. */
async function supported(request: Promise<void>): Promise<boolean> {
  try {
    await request;
    return true;
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOTSUP') return false;
    throw error;
  }
}

describe.each(kinds)('%s', (_name, open) => {
  test('is an array of bytes, and its map never calls data zero', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
        const driver = await open();
        const model = new Uint8Array(length);
        for (const change of steps) {
          if (change.type === 'flush') {
            await driver.flush?.();
            continue;
          }
          const { offset, bytes } = change.range;
          if (change.type === 'write') {
            await driver.write!(offset, new Uint8Array(bytes).fill(change.value), {});
            model.fill(change.value, offset, offset + bytes);
          } else if (change.type === 'zero') {
            const done = await supported(driver.writeZeroes!(offset, bytes, { mayUnmap: change.mayUnmap }));
            if (done) model.fill(0, offset, offset + bytes);
          } else if (await supported(driver.discard!(offset, bytes))) {
            model.fill(0, offset, offset + bytes);
          }
        }
        const content = new Uint8Array(length).fill(0xee);
        await driver.read!(0, content);
        expect(Buffer.compare(content, model)).toBe(0);
        for (let at = 0; at < length; ) {
          const extent = await driver.map!(at, length - at);
          expect(extent.type).toBe('own');
          expect(extent.bytes).toBeGreaterThan(0);
          expect(extent.bytes).toBeLessThanOrEqual(length - at);
          if (extent.type === 'own' && extent.zero) {
            expect(model.subarray(at, at + extent.bytes).every((value) => value === 0)).toBe(true);
          }
          at += extent.bytes;
        }
        await driver.close();
      }),
      { numRuns: 25 },
    );
  });

  test('knows that what was never written is zero', async () => {
    const driver = await open();
    // A host may reserve the first block of a file that it makes longer.
    const offset = 64 << 10;
    const bytes = length - offset;
    expect(await driver.map!(offset, bytes)).toEqual({ type: 'own', bytes, zero: true });
    await driver.close();
  });

  test('grows by writing past its end and by truncating, and reads zeros in between', async () => {
    const driver = await open();
    await driver.write!(length + 1000, new Uint8Array(24).fill(5), {});
    expect(await driver.getLength()).toBe(length + 1024);
    await driver.truncate!(length + 4096, { preallocation: 'off' });
    const tail = new Uint8Array(4096).fill(0xee);
    await driver.read!(length, tail);
    expect(tail.findIndex((value) => value !== 0)).toBe(1000);
    expect(tail.lastIndexOf(5)).toBe(1023);
    await driver.truncate!(length, { preallocation: 'off' });
    await driver.truncate!(length + 4096, { preallocation: 'off' });
    await driver.read!(length, tail);
    expect(tail.every((value) => value === 0)).toBe(true);
    await driver.close();
  });

  test('refuses preallocation of metadata', async () => {
    const driver = await open();
    await expect(driver.truncate!(2 * length, { preallocation: 'metadata' })).rejects.toMatchObject({
      errno: 'ENOTSUP',
      message: 'Unsupported preallocation mode: metadata',
    });
    expect(await driver.getLength()).toBe(length);
    await driver.close();
  });
});
