/** Images by the published structure, whole and damaged: what they read as, and what is refused. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../host/base/errors.ts';
import type { BlockBackend } from '../../../host/block/backend.ts';
import { createImage } from '../../../host/block/create.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { drivers } from '../../../host/drivers.ts';
import { createGraph } from '../../../host/graph.ts';
import { createSimulation, SimStorage } from '../../../host/platform/sim/index.ts';
import { attachAlone } from '../../support/attach.ts';
import { Seeded } from '../../support/seeded.ts';
import { cowdExtent, descriptor, sectorBytes, streamImage } from './images.ts';

const grainBytes = 65_536;

const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value);

/** Runs `use` on the image `disk.vmdk` among `files`. */
async function withDisk<T>(
  files: Readonly<Record<string, Uint8Array | string>>,
  use: (disk: BlockBackend) => Promise<T>,
  options: object = { 'read-only': true },
): Promise<{ result: T; storage: SimStorage }> {
  const storage = new SimStorage();
  for (const [name, content] of Object.entries(files))
    storage.writeFile(`/${name}`, typeof content === 'string' ? new TextEncoder().encode(content) : content);
  const simulation = createSimulation(1, { storage, latency: 'instant', record: false });
  const result = await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers, emit: () => {} });
    const file = { driver: 'file', filename: '/disk.vmdk' };
    const node = await graph.open({ driver: 'vmdk', file, ...options });
    const disk = await attachAlone(node, node.readOnly ? Perm.consistentRead : Perm.all);
    try {
      return await use(disk);
    } finally {
      await disk.close();
    }
  });
  return { result, storage };
}

async function contentOf(files: Readonly<Record<string, Uint8Array | string>>): Promise<Uint8Array> {
  const { result } = await withDisk(files, async (disk) => {
    const content = new Uint8Array(disk.length);
    await disk.read(0, content);
    return content;
  });
  return result;
}

describe('a stream with a footer', () => {
  const short = 2 * sectorBytes;
  const grains = [filled(grainBytes, 1), undefined, filled(grainBytes, 3), filled(grainBytes, 4)];
  const image = streamImage((3 * grainBytes + short) / sectorBytes, grains);
  const expected = new Uint8Array(3 * grainBytes + short);
  for (const [index, grain] of grains.entries())
    if (grain) expected.set(grain.subarray(0, expected.length - index * grainBytes), index * grainBytes);

  test('is read', async () => {
    expect(Buffer.compare(await contentOf({ 'disk.vmdk': image }), expected)).toBe(0);
  });

  test('is not written to', async () => {
    await expect(withDisk({ 'disk.vmdk': image }, async () => {}, {})).rejects.toThrow('Image is read-only');
    const { result } = await withDisk({ 'disk.vmdk': image }, async (disk) => disk.node.readOnly, {
      'auto-read-only': true,
    });
    expect(result).toBe(true);
  });

  test('that is cut off is refused', async () => {
    await expect(contentOf({ 'disk.vmdk': image.slice(0, -sectorBytes) })).rejects.toThrow('Invalid footer');
  });

  test('with a damaged grain fails where that one is', async () => {
    const damaged = image.slice();
    damaged.fill(0x55, 128 * sectorBytes + 20, 128 * sectorBytes + 60);
    await withDisk({ 'disk.vmdk': damaged }, async (disk) => {
      await expect(disk.read(0, new Uint8Array(512))).rejects.toThrow(BlockError);
      const other = new Uint8Array(512);
      await disk.read(2 * grainBytes, other);
      expect(other[0]).toBe(3);
    });
  });
});

describe('an image of an ESX host', () => {
  const cowd = cowdExtent(8192, { 0: filled(512, 0x11), 3: filled(512, 0x33), 4095: filled(512, 0x44) });
  const files = {
    'disk.vmdk': descriptor('vmfsSparse', ['RW 8192 VMFSSPARSE "disk-delta.vmdk"']),
    'disk-delta.vmdk': cowd,
  };

  test('is read', async () => {
    const content = await contentOf(files);
    expect(content.length).toBe(8192 * 512);
    for (const [sector, value] of [
      [0, 0x11],
      [1, 0],
      [3, 0x33],
      [4095, 0x44],
      [4096, 0],
      [8191, 0],
    ] as const)
      expect(content[sector * 512], `sector ${sector}`).toBe(value);
  });

  test('is not written to', async () => {
    await expect(withDisk(files, async () => {}, {})).rejects.toThrow('Image is read-only');
  });

  test('is nothing without its descriptor', async () => {
    await expect(contentOf({ 'disk.vmdk': cowd })).rejects.toThrow('is an extent without a descriptor');
  });
});

describe('a descriptor', () => {
  const flat = filled(1 << 20, 9);
  const read = (lines: readonly string[], type = 'monolithicFlat') =>
    contentOf({ 'disk.vmdk': descriptor(type, lines), 'a.bin': flat, 'sub/b.bin': filled(4096, 7) });

  test('names parts of files, files in folders, and zeros', async () => {
    const content = await read([
      'RW 2 FLAT "a.bin" 4',
      'RW 3 ZERO',
      'RW 8 FLAT "sub/b.bin" 0',
      'RW 2 FLAT "sub/b.bin" 7',
    ]);
    expect([0, 1023, 1024, 2559, 2560, 6655, 6656, 7167, 7168].map((at) => content[at])).toEqual([
      ...[9, 9, 0, 0, 7, 7, 7, 7, 0],
    ]);
  });

  test.each([
    ['/a.bin', 'is not in the folder'],
    ['../a.bin', 'is not in the folder'],
    ['sub/../a.bin', 'is not in the folder'],
    ['nbd:a.bin', 'Could not open'],
    ['json:{}', 'Could not open'],
  ])('that names %s is refused', async (name, message) => {
    await expect(read([`RW 8 FLAT "${name}" 0`])).rejects.toThrow(message);
  });

  test.each([
    ['without access', 'NOACCESS 8 FLAT "a.bin" 0', 'Extents without access are not supported'],
    ['on a device', 'RW 8 VMFSRDM "a.bin"', 'Invalid extent line'],
    ['of no size', 'RW 99999999999999999999 FLAT "a.bin" 0', 'Invalid extent line'],
    ['with more behind it', 'RW 8 FLAT "a.bin" 0 more', 'Invalid extent line'],
    ['that is missing', '', 'Image has no extents'],
    ['too many', 'RW 8 FLAT "a.bin" 0\n'.repeat(4097), 'Image has more than 4096 extents'],
    ['too large', 'RW 100000000000000 ZERO\n'.repeat(3), 'Image is too large'],
  ])('with an extent %s is refused', async (_, line, message) => {
    await expect(read([line])).rejects.toThrow(message);
  });

  test('with an extent that can only be read makes an image that can only be read', async () => {
    const files = { 'disk.vmdk': descriptor('monolithicFlat', ['RDONLY 8 FLAT "a.bin" 0']), 'a.bin': flat };
    await expect(withDisk(files, async () => {}, {})).rejects.toThrow('Image is read-only');
    expect((await contentOf(files)).length).toBe(4096);
  });
});

/** A sparse image with some grains. */
async function sparseImage(): Promise<Uint8Array> {
  const storage = new SimStorage();
  const simulation = createSimulation(1, { storage, latency: 'instant', record: false });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers, emit: () => {} });
    await createImage(graph, { filename: '/disk.vmdk', format: 'vmdk', size: 1 << 20, quiet: true });
  });
  const { storage: written } = await withDisk(
    { 'disk.vmdk': storage.readFile('/disk.vmdk') },
    async (disk) => {
      for (const grain of [3, 0, 7]) await disk.write(grain * grainBytes, filled(1000, grain + 1));
    },
    {},
  );
  return written.readFile('/disk.vmdk');
}

describe('a sparse image', () => {
  const entryAt = (grain: number): number => (21 + 1 + 4 + 1) * sectorBytes + grain * 4;

  function withEntry(image: Uint8Array, grain: number, sector: number): Uint8Array {
    const changed = image.slice();
    new DataView(changed.buffer).setUint32(entryAt(grain), sector, true);
    return changed;
  }

  test('does not have its tables overwritten by what a table says', async () => {
    const image = await sparseImage();
    for (const sector of [1, 21, 26, 60]) {
      const files = { 'disk.vmdk': withEntry(image, 5, sector) };
      await withDisk(
        files,
        async (disk) => {
          for (const act of [
            () => disk.write(5 * grainBytes, filled(512, 1)),
            () => disk.writeZeroes(5 * grainBytes, 512),
          ])
            await expect(act()).rejects.toThrow('Grain table refers to metadata');
        },
        {},
      );
    }
  });

  test('gives a grain that the file never got a new place', async () => {
    const image = await sparseImage();
    const files = { 'disk.vmdk': withEntry(image, 5, 0xffff_ffff) };
    const { storage } = await withDisk(
      files,
      async (disk) => {
        const content = filled(512, 1);
        await disk.read(5 * grainBytes, content);
        expect(content[0]).toBe(0);
        await disk.write(5 * grainBytes + 512, filled(512, 6));
      },
      {},
    );
    expect(storage.readFile('/disk.vmdk').length).toBeLessThan(image.length + 2 * grainBytes);
  });

  test('does not take what was added for a grain that the file never got', async () => {
    const image = await sparseImage();
    // Where the next grain comes to be.
    const files = { 'disk.vmdk': withEntry(image, 5, image.length / sectorBytes) };
    await withDisk(
      files,
      async (disk) => {
        await disk.write(6 * grainBytes, filled(grainBytes, 6));
        const content = filled(512, 1);
        await disk.read(5 * grainBytes, content);
        expect(content[0]).toBe(0);
        await disk.write(5 * grainBytes, filled(512, 5));
        await disk.read(6 * grainBytes, content);
        expect(content[0]).toBe(6);
      },
      {},
    );
  });

  test('gets a table where the directory has none', async () => {
    const image = await sparseImage();
    const view = new DataView(image.buffer);
    for (const at of [21, 26]) view.setUint32(at * sectorBytes, 0, true);
    const { storage } = await withDisk(
      { 'disk.vmdk': image },
      (disk) => disk.write(5 * grainBytes, filled(512, 6)),
      {},
    );
    const content = await contentOf({ 'disk.vmdk': storage.readFile('/disk.vmdk') });
    expect([content[5 * grainBytes], content[0]]).toEqual([6, 0]);
  });

  test('that was changed anywhere fails or reads, and grows by no more than is written', async () => {
    const count = Number(process.env['VMDK_MUTATIONS'] ?? 1000);
    const image = await sparseImage();
    const random = new Seeded(1);
    for (let i = 0; i < count; i++) {
      const changed = image.slice();
      for (let n = 1 + random.below(3); n > 0; n--)
        changed[random.below(random.pick([512, 1500, 20_000, changed.length]))] = random.pick([
          0,
          1,
          0xff,
          random.below(256),
        ]);
      try {
        const { storage } = await withDisk(
          { 'disk.vmdk': changed },
          async (disk) => {
            const buffer = new Uint8Array(Math.min(disk.length, 4096));
            for (const grain of [0, 3, 5])
              if (grain * grainBytes + buffer.length <= disk.length)
                await disk.read(grain * grainBytes, buffer);
            if (i % 2 === 1) await disk.write(0, buffer);
          },
          i % 2 === 1 ? {} : { 'read-only': true },
        );
        const after = storage.readFile('/disk.vmdk');
        if (i % 2 === 0) expect(Buffer.compare(after, changed)).toBe(0);
        expect(after.length).toBeLessThan(changed.length + (32 << 20));
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
      }
    }
  });
});
