/**
 * The file of dirty bitmaps beside an image: what was written is read, and whatever happens to the bytes (a torn end,
 * flipped bits, a damaged sector), what is read is all of it or nothing.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Checkpoint, readSideFile, SideFile } from '../../host/bitmaps/side-file.ts';
import type { SavedBitmap } from '../../host/bitmaps/side-file-format.ts';
import { HierarchicalBitmap } from '../../host/core/bitmap.ts';
import { createSimulation, SimStorage } from '../../host/platform/sim/index.ts';

const path = '/disk.img.bitmaps';
const regionBytes = 1 << 20;
/** More than one page of regions. */
const regionCount = 5000;

const bitmapBits: fc.Arbitrary<HierarchicalBitmap> = fc
  .tuple(
    fc.constantFrom(512, 4096, 65_536, 2 ** 31),
    fc.oneof(fc.integer({ min: 0, max: 2 ** 25 }), fc.integer({ min: 0, max: 2 ** 40 })),
    fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(1, 2 ** 20)), {
      maxLength: 10,
    }),
  )
  .map(([granularity, size, dirty]) => {
    const bits = HierarchicalBitmap.create(size, granularity);
    for (const [part, bytes] of dirty) bits.set(Math.floor(part * size), bytes);
    return bits;
  });
const savedBitmap: fc.Arbitrary<SavedBitmap> = fc
  .record({
    name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
    enabled: fc.boolean(),
    inconsistent: fc.boolean(),
    bits: bitmapBits,
  })
  .map((bitmap) => ({ ...bitmap, granularity: bitmap.bits.granularity }));
const someRegions = fc.uniqueArray(fc.nat(regionCount - 1), { maxLength: 10 });
const checkpoints: fc.Arbitrary<Checkpoint> = fc.record({
  state: fc.constantFrom('in-use', 'clean'),
  identity: fc.constantFrom('0123456789abcdef', 'fedcba9876543210'),
  former: fc.constantFrom('0000000000000000', '00ff00ff00ff00ff'),
  diskBytes: fc.constant(regionCount * regionBytes),
  regionBytes: fc.constant(regionBytes),
  imageTime: fc.constantFrom('', '1700000000123.4567'),
  bitmaps: fc.array(savedBitmap, { maxLength: 3 }),
  regions: someRegions,
});
/** Checkpoints, each with what is added to its regions. */
const histories = fc.array(fc.tuple(checkpoints, fc.array(someRegions, { maxLength: 4 })), {
  minLength: 1,
  maxLength: 4,
});

type History = [Checkpoint, number[][]][];

async function write(history: History): Promise<{ storage: SimStorage; expected: Checkpoint }> {
  const storage = new SimStorage();
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  let expected: Checkpoint | undefined;
  for (const [checkpoint, added] of history) {
    const file = await SideFile.open(platform.files, path);
    await file.checkpoint(checkpoint);
    for (const regions of added) await file.addRegions(regions);
    await file.close();
    const regions = [...new Set([checkpoint.regions, ...added].flat())].sort((a, b) => a - b);
    expected = { ...checkpoint, regions };
  }
  return { storage, expected: expected! };
}

async function read(bytes: Uint8Array | SimStorage): Promise<Checkpoint | undefined> {
  let storage = bytes;
  if (bytes instanceof Uint8Array) {
    storage = new SimStorage();
    storage.writeFile(path, bytes);
  }
  const { platform } = createSimulation(1, {
    storage: storage as SimStorage,
    latency: 'instant',
    record: false,
  });
  return readSideFile(platform.files, path);
}

/** Bits are compared by where they are: nobody has words of a bitmap about a tebibyte. */
function expectSame(found: Checkpoint | undefined, expected: Checkpoint): void {
  const comparable = (checkpoint: Checkpoint): object => ({
    ...checkpoint,
    bitmaps: checkpoint.bitmaps.map(({ bits, ...rest }) => ({
      ...rest,
      size: bits.size,
      areas: areas(bits),
    })),
  });
  expect(found && comparable(found)).toMatchObject(comparable(expected));
}

function areas(bits: HierarchicalBitmap): string[] {
  const found: string[] = [];
  for (const walk = bits.walk(); walk.next(); ) found.push(`${walk.offset}+${walk.bytes}`);
  return found;
}

describe('a file of bitmaps beside an image', () => {
  test('gives back its last checkpoint and all regions since', async () => {
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        const { storage, expected } = await write(history);
        expectSame(await read(storage), expected);
      }),
      { numRuns: 25 },
    );
  });

  test('is believed as a whole or not at all, wherever it is cut off', async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.double({ min: 0, max: 1, noNaN: true }), async (history, part) => {
        const { storage, expected } = await write(history);
        const bytes = storage.readFile(path);
        const found = await read(bytes.slice(0, Math.floor(part * bytes.length)));
        if (found) expectSame(found, expected);
      }),
      { numRuns: 25 },
    );
  });

  test('is believed as a whole or not at all, whichever bit is flipped', async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(histories, fc.infiniteStream(fc.nat()), async (history, places) => {
        const { storage, expected } = await write(history);
        const bytes = storage.readFile(path);
        for (let i = 0; i < 20; i++) {
          // Half of them where the heads are: there are few of those.
          const place = places.next().value! % (i % 2 ? bytes.length : 512);
          const at = i % 4 === 2 ? place + 4096 : place;
          const damaged = bytes.slice();
          damaged[at]! ^= 1 << (i % 8);
          const found = await read(damaged);
          if (found) expectSame(found, expected);
          else refused++;
        }
      }),
      { numRuns: 20 },
    );
    expect(refused).toBeGreaterThan(20);
  });

  test('knows its regions although one sector of them is lost', async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(7), async (history, sector) => {
        const { storage, expected } = await write(history);
        const bytes = storage.readFile(path);
        // Pages begin with their magic; two pages of four sectors.
        const magic = new TextEncoder().encode('BMPG');
        for (let at = 8192; at < bytes.length; at += 4096) {
          if (!magic.every((byte, i) => bytes[at + i] === byte)) continue;
          bytes.fill(0xa5, at + sector * 512, at + (sector + 1) * 512);
        }
        expectSame(await read(bytes), expected);
      }),
      { numRuns: 20 },
    );
  });

  test("that is somebody else's is left alone", async () => {
    const storage = new SimStorage();
    const others = new Uint8Array(10_000).fill(1);
    storage.writeFile(path, others);
    const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
    await expect(SideFile.open(platform.files, path)).rejects.toMatchObject({ errno: 'EEXIST' });
    expect(storage.readFile(path)).toEqual(others);
    expect(await read(storage)).toBeUndefined();
  });
});
