/**
 * What a crash can do to a VDI or VPC image: at any moment, with any part of what was not flushed lost, what was flushed is
 * there, what was not is old or new, and the image can be written to again.
 */
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { crashStates, createSimulation, SimStorage } from '../../host/platform/sim/index.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { mib } from '../support/units.ts';
import { Guest } from './crash-harness.ts';
import { DiskModel, sectorBytes } from './disk-model.ts';

const path = '/disk.img';
const states = Number(process.env['BLOCKS_STATES'] ?? 60);

const stale = 0xee;

const images = [
  { name: 'vdi', format: 'vdi', size: 3 * mib, values: {} },
  { name: 'vdi with blocks left over', format: 'vdi', size: 3 * mib, values: {}, stale: true },
  { name: 'vdi, static', format: 'vdi', size: 3 * mib, values: { static: true } },
  { name: 'vpc', format: 'vpc', size: 5 * mib, values: { force_size: true } },
  {
    name: 'vpc with blocks left over',
    format: 'vpc',
    size: 5 * mib,
    values: { force_size: true },
    stale: true,
  },
];

async function make(format: string, size: number, values: object): Promise<SimStorage> {
  const simulation = createSimulation(1, { storage: new SimStorage(), record: false });
  await simulation.run(async () => {
    const graph = createGraph({ platform: simulation.platform, drivers });
    await createImage(graph, { filename: path, format, size, quiet: true, values: { ...values } });
  });
  return simulation.storage;
}

/** All of its blocks, without anything that says they are there: what crashes leave in the end. */
async function leaveStaleBlocks(storage: SimStorage, format: string): Promise<void> {
  const empty = storage.readFile(path);
  const simulation = createSimulation(1, { storage, latency: 'instant', record: false });
  await simulation.run(() =>
    use(simulation.platform, format, (disk) => disk.write(0, new Uint8Array(disk.length).fill(stale))),
  );
  const file = storage.readFile(path);
  // The new footer of a vpc stays where it is.
  file.set(empty.subarray(0, format === 'vpc' ? empty.length - sectorBytes : empty.length));
  storage.writeFile(path, file);
}

async function use(
  platform: Platform,
  format: string,
  act: (backend: BlockBackend) => Promise<void>,
): Promise<void> {
  const graph = createGraph({ platform, drivers });
  const node = await graph.open({
    driver: format,
    discard: 'unmap',
    file: { driver: 'file', filename: path, discard: 'unmap' },
  });
  const backend = await attachAlone(node, readWriteResize);
  await act(backend);
  await backend.close();
}

/** Blocks are of 2048 or 4096 sectors. */
async function live(guest: Guest): Promise<void> {
  await guest.write(5000, 3);
  await guest.flush();
  // Two in one new block, one over an edge of blocks, one in a block that is there.
  await Promise.all([guest.write(10, 2), guest.write(700, 9), guest.write(2040, 20), guest.write(5001, 4)]);
  await guest.writeZeroes(5002, 1, true);
  await Promise.all([guest.flush(), guest.write(4090, 3)]);
  await guest.write(3000, 2);
  await guest.discard(10, 2);
  await guest.flush();
  await guest.write(3001, 5);
}

/** What is wrong with a disk, which is then written to in every block. */
async function examine(storage: SimStorage, format: string, model: DiskModel): Promise<string | undefined> {
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  let problem: string | undefined;
  const written = new Uint8Array(sectorBytes).fill(0xa5);
  let expected = new Uint8Array(0);
  await use(platform, format, async (backend) => {
    expected = new Uint8Array(backend.length);
    await backend.read(0, expected);
    problem = model.verify(expected.length / sectorBytes, (sector) =>
      expected.subarray(sector * sectorBytes, (sector + 1) * sectorBytes),
    );
    const words = new Uint32Array(expected.buffer);
    if (words.includes(stale * 0x0101_0101)) problem ??= 'what was left in the file is seen';
    for (let offset = 4096; offset < expected.length; offset += mib / 2) {
      await backend.write(offset, written);
      expected.set(written, offset);
    }
  });
  await use(platform, format, async (backend) => {
    const again = new Uint8Array(backend.length);
    await backend.read(0, again);
    if (Buffer.compare(again, expected) !== 0) problem ??= 'what was written then does not read back';
  });
  return problem;
}

describe('a crash leaves what was flushed:', () => {
  test.each(images)('$name', { timeout: 300_000 }, async ({ format, size, values, stale }) => {
    const storage = await make(format, size, values);
    if (stale) await leaveStaleBlocks(storage, format);
    const simulation = createSimulation(7, { storage });
    const { journal } = simulation;
    if (!journal) throw new Error('it is not recorded');
    let guest: Guest | undefined;
    await simulation.run(() =>
      use(simulation.platform, format, async (backend) => {
        guest = new Guest(backend, journal);
        await live(guest);
      }),
    );
    const model = new DiskModel(guest!.events, size / sectorBytes);
    const problems: string[] = [];
    let seen = 0;
    for (const { cut, description, storage } of crashStates(journal, { maxStates: states })) {
      model.advanceTo(cut);
      seen++;
      const problem = await examine(storage, format, model);
      if (problem !== undefined) problems.push(`${description}: ${problem}`);
    }
    expect(problems.slice(0, 3)).toEqual([]);
    expect(seen).toBeGreaterThan(40);
  });
});
