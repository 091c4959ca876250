/**
 * VDI and VPC images as they lie in their files: written so that a reader of the published structures finds the disk, and
 * read so that no damage does more than fail.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { blockStatus } from '../../host/block/status.ts';
import { drivers } from '../../host/drivers.ts';
import { chooseSize } from '../../host/formats/vpc/geometry.ts';
import { createGraph } from '../../host/graph.ts';
import { createSimulation, SimStorage, type Simulation } from '../../host/platform/sim/index.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { Seeded } from '../support/seeded.ts';
import { mib } from '../support/units.ts';

const path = '/disk.img';
const mutations = Number(process.env['BLOCKS_MUTATIONS'] ?? 100);

interface Made {
  format: 'vdi' | 'vpc';
  size: number;
  values: Record<string, string | boolean>;
}

const images: readonly (Made & { name: string })[] = [
  { name: 'vdi', format: 'vdi', size: 5 * mib, values: {} },
  { name: 'static vdi', format: 'vdi', size: 2 * mib + 512, values: { static: true } },
  { name: 'vpc', format: 'vpc', size: 7 * mib, values: { force_size: true } },
  { name: 'fixed vpc', format: 'vpc', size: mib, values: { subformat: 'fixed', force_size: true } },
];

function simulate(storage = new SimStorage()): Simulation {
  return createSimulation(1, { storage, latency: 'instant', record: false });
}

async function make({ platform }: Simulation, { format, size, values }: Made): Promise<void> {
  const graph = createGraph({ platform, drivers });
  await createImage(graph, { filename: path, format, size, values, quiet: true });
}

async function use<T>(
  { platform }: Simulation,
  format: string,
  act: (backend: BlockBackend) => Promise<T>,
): Promise<T> {
  const graph = createGraph({ platform, drivers });
  const node = await graph.open({
    driver: format,
    discard: 'unmap',
    file: { driver: 'file', filename: path, discard: 'unmap' },
  });
  const backend = await attachAlone(node, readWriteResize);
  try {
    return await act(backend);
  } finally {
    await backend.close();
  }
}

/** Several blocks, in another order than on the disk. */
async function fill(backend: BlockBackend): Promise<Uint8Array> {
  const content = new Uint8Array(backend.length);
  const random = new Seeded(3);
  for (let i = 0; i < 12; i++) {
    const offset = random.below(content.length - 70_000);
    const data = new Uint8Array(1 + random.below(70_000)).fill(i + 1);
    content.set(data, offset);
    await backend.write(offset, data);
  }
  return content;
}

/** By the published structures, and nothing of ours. */
const readers = { vdi: readVdi, vpc: readVpc };

function readVdi(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const word = (at: number): number => view.getUint32(at, true);
  expect([word(64), word(68), word(360), word(376)]).toEqual([0xbeda107f, 0x10001, 512, mib]);
  const [map, data, blocks] = [word(340), word(344), word(384)];
  const disk = new Uint8Array(Number(view.getBigUint64(368, true)));
  let stored = 0;
  for (let block = 0; block < blocks; block++) {
    const entry = word(map + block * 4);
    if (entry === 0xffff_ffff) continue;
    stored++;
    const start = data + entry * mib;
    expect(start + mib).toBeLessThanOrEqual(file.length);
    disk.set(file.subarray(start, start + Math.min(mib, disk.length - block * mib)), block * mib);
  }
  expect(word(388)).toBe(stored);
  return disk;
}

function readVpc(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const end = file.length - 512;
  const sum = (from: number, bytes: number, at: number): number => {
    let total = 0;
    for (let i = 0; i < bytes; i++) if (i < at || i >= at + 4) total += file[from + i]!;
    return ~total >>> 0;
  };
  expect(String.fromCharCode(...file.subarray(end, end + 8))).toBe('conectix');
  expect(view.getUint32(end + 64)).toBe(sum(end, 512, 64));
  const disk = new Uint8Array(Number(view.getBigUint64(end + 48)));
  if (view.getUint32(end + 60) === 2) {
    disk.set(file.subarray(0, disk.length));
    return disk;
  }
  expect(file.subarray(0, 512)).toEqual(file.subarray(end));
  const header = Number(view.getBigUint64(16));
  expect(String.fromCharCode(...file.subarray(header, header + 8))).toBe('cxsparse');
  expect(view.getUint32(header + 36)).toBe(sum(header, 1024, 36));
  const table = Number(view.getBigUint64(header + 16));
  const blockBytes = view.getUint32(header + 32);
  for (let block = 0; block * blockBytes < disk.length; block++) {
    const entry = view.getUint32(table + block * 4);
    if (entry === 0xffff_ffff) continue;
    const bitmap = file.subarray(entry * 512, (entry + 1) * 512);
    expect(bitmap.every((byte) => byte === 0xff)).toBe(true);
    const start = (entry + 1) * 512;
    const bytes = Math.min(blockBytes, disk.length - block * blockBytes);
    disk.set(file.subarray(start, start + bytes), block * blockBytes);
  }
  return disk;
}

test.each(images)('$name: a reader of the published structures finds the disk', async (image) => {
  const simulation = simulate();
  await simulation.run(async () => {
    await make(simulation, image);
    const content = await use(simulation, image.format, fill);
    const read = readers[image.format](simulation.storage.readFile(path));
    expect(Buffer.compare(read, content)).toBe(0);
  });
});

test.each(images)('$name: requests side by side in new blocks, zeros and discards', async (image) => {
  const simulation = simulate();
  await simulation.run(async () => {
    await make(simulation, image);
    await use(simulation, image.format, async (disk) => {
      const ones = new Uint8Array(4096).fill(1);
      const offsets = Array.from({ length: disk.length / 65_536 }, (_, i) => i * 65_536);
      await Promise.all([...offsets.map((offset) => disk.write(offset, ones)), disk.flush()]);
      await disk.writeZeroes(1000, 100, { mayUnmap: true });
      await disk.discard(65_536, 4096);
      const all = new Uint8Array(disk.length);
      await disk.read(0, all);
      const expected = new Uint8Array(disk.length);
      for (const offset of offsets) expected.fill(1, offset, offset + 4096);
      expected.fill(0, 1000, 1100).fill(0, 65_536, 65_536 + 4096);
      expect(Buffer.compare(all, expected)).toBe(0);
    });
  });
});

test('zeros store nothing where nothing is stored', async () => {
  for (const image of images.filter(({ values }) => !values['static'] && values['subformat'] !== 'fixed')) {
    const simulation = simulate();
    await simulation.run(async () => {
      await make(simulation, image);
      const before = simulation.storage.readFile(path).length;
      await use(simulation, image.format, async (disk) => {
        await disk.writeZeroes(0, disk.length);
        await disk.discard(0, disk.length);
        const status = await blockStatus(disk.node, 0, disk.length);
        expect(status).toMatchObject({ bytes: disk.length, zero: true, data: false, allocated: true });
      });
      expect(simulation.storage.readFile(path).length).toBe(before);
    });
  }
});

describe('the space of a block whose write failed', () => {
  test.each(images.slice(0, 1).concat(images.slice(2, 3)))('is used by the next: $name', async (image) => {
    const simulation = simulate();
    await simulation.run(async () => {
      await make(simulation, image);
      const data = new Uint8Array(mib).fill(5);
      await use(simulation, image.format, async (disk) => {
        const heal = simulation.fail({ errno: 'ENOSPC', when: ({ type }) => type === 'write' });
        await expect(disk.write(3 * mib, data)).rejects.toMatchObject({ errno: 'ENOSPC' });
        heal();
        for (let offset = 0; offset < disk.length; offset += mib) await disk.write(offset, data);
      });
      const blocks = Math.ceil(image.size / (image.format === 'vdi' ? mib : 2 * mib));
      const most = blocks * (image.format === 'vdi' ? mib : 2 * mib + 512) + 4096;
      const file = simulation.storage.readFile(path);
      expect(file.length).toBeLessThan(most);
      expect(readers[image.format](file).every((byte) => byte === 5)).toBe(true);
    });
  });
});

test('a vdi whose map leaves numbers out uses them before others', async () => {
  const simulation = simulate();
  await simulation.run(async () => {
    await make(simulation, images[0]!);
    const { storage } = simulation;
    const data = new Uint8Array(mib).fill(9);
    await use(simulation, 'vdi', async (disk) => {
      for (const block of [0, 1, 2]) await disk.write(block * mib, data);
    });
    const file = storage.readFile(path);
    // As after a crash: number 1 is nobody's, and there is something in it.
    file.set([0xff, 0xff, 0xff, 0xff], 512 + 4);
    storage.writeFile(path, file);
    await use(simulation, 'vdi', async (disk) => {
      for (const block of [1, 3, 4]) await disk.write(block * mib + 512, data.subarray(0, 512));
      const read = new Uint8Array(mib);
      await disk.read(mib, read);
      const expected = new Uint8Array(mib).fill(9, 512, 1024);
      expect(Buffer.compare(read, expected)).toBe(0);
    });
    expect(Buffer.compare(readVdi(storage.readFile(path)).subarray(0, mib), data)).toBe(0);
  });
});

/** Fields with which most of what opening checks begins. */
const places = {
  vdi: [64, 68, 76, 340, 344, 360, 368, 372, 376, 380, 384, 388, 424, 440, 512, 516, 520],
  vpc: [0, 16, 20, 28, 48, 52, 56, 60, 64, 512, 528, 532, 540, 544, 1536, 1540, 1544],
};
const values = [
  0,
  1,
  2,
  3,
  4,
  7,
  0xff,
  512,
  1 << 20,
  1 << 24,
  0x3fff_ffff,
  0x7fff_ffff,
  0xffff_fffe,
  0xffff_ffff,
];

test.each(images)('$name: whatever is changed in it, nothing hangs, grows or breaks', async (image) => {
  const origin = simulate();
  await origin.run(async () => {
    await make(origin, image);
    await use(origin, image.format, fill);
  });
  const sound = origin.storage.readFile(path);
  const random = new Seeded(image.size);
  for (let i = 0; i < mutations; i++) {
    const damaged = sound.slice();
    const view = new DataView(damaged.buffer);
    const start = image.values['subformat'] === 'fixed' ? sound.length - 512 : 0;
    for (let n = 1 + random.below(3); n > 0; n--) {
      const at = start + (random.oneIn(3) ? random.below(512) & ~3 : random.pick(places[image.format]));
      if (at + 4 <= damaged.length) view.setUint32(at, random.pick(values), image.format === 'vdi');
    }
    if (image.format === 'vpc' && random.oneIn(2)) repairChecksum(damaged, start);
    const simulation = simulate();
    simulation.storage.writeFile(path, random.oneIn(8) ? damaged.slice(0, random.below(4096)) : damaged);
    await simulation.run(async () => {
      try {
        await use(simulation, image.format, async (disk) => {
          const part = new Uint8Array(4096);
          for (const offset of [0, mib, disk.length - 4096]) if (offset >= 0) await disk.read(offset, part);
          await blockStatus(disk.node, 0, disk.length);
        });
      } catch (error) {
        if (!(error instanceof BlockError)) throw new Error(`mutation ${i}`, { cause: error });
      }
    });
    const after = simulation.storage.readFile(path);
    expect(after.length <= damaged.length, `mutation ${i} made it grow`).toBe(true);
  }
});

function repairChecksum(file: Uint8Array, start: number): void {
  if (start + 512 > file.length) return;
  const view = new DataView(file.buffer);
  view.setUint32(start + 64, 0);
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += file[start + i]!;
  view.setUint32(start + 64, ~sum >>> 0);
}

/** As seen of the real tool: sizes asked for, lengths made, cylinders, heads and sectors. */
const geometries: readonly (readonly [bytes: number, made: number, ...chs: number[]])[] = [
  [0, 0, 0, 0, 0],
  [513, 34_816, 1, 4, 17],
  [100 * 1024, 104_448, 3, 4, 17],
  [5 * mib, 5_257_216, 151, 4, 17],
  [33 * mib, 34_607_104, 994, 4, 17],
  [100 * mib, 104_865_792, 1004, 12, 17],
  [500 * mib, 524_353_536, 1016, 16, 63],
  [504 * mib, 528_482_304, 1024, 16, 63],
  [1024 * mib, 1_073_995_776, 2081, 16, 63],
  [31_744 * mib, 33_286_127_616, 64_496, 16, 63],
  [32_768 * mib, 34_361_303_040, 16_449, 16, 255],
  [130_048 * mib, 136_365_219_840, 65_279, 16, 255],
  [131_072 * mib, 131_072 * mib, 65_535, 16, 255],
  [2040 * 1024 * mib, 2040 * 1024 * mib, 65_535, 16, 255],
];

test.each(geometries)('a vpc of %d bytes becomes one of %d', (bytes, made, cylinders, heads, sectors) => {
  expect(chooseSize(bytes, false)).toEqual({ bytes: made, geometry: { cylinders, heads, sectors } });
});

test('a vpc that is told its size has it, up to 2040 GiB', () => {
  const most = 2040 * 1024 * mib;
  expect(chooseSize(mib + 1, true).bytes).toBe(mib + 512);
  expect(chooseSize(most, true).bytes).toBe(most);
  expect(() => chooseSize(most + 512, true)).toThrow('max size is 2040 GiB');
});
