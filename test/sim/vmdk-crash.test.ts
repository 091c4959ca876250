/**
 * What a crash can do to a sparse vmdk image on a parent: at any moment, with any part of what was not flushed lost, what
 * was flushed is there, what was not is old or new, what is the parent's shows, and the check finds nothing.
 *
 * VMDK_CRASH_SEEDS sets how many guests are run.
 */
import { expect } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { Perm } from '../../host/block/permissions.ts';
import { checkImage } from '../../host/formats/vmdk/check.ts';
import { vmdk } from '../../host/formats/vmdk/driver.ts';
import { createGraph } from '../../host/graph.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { crashStates } from '../../host/platform/sim/crash-states.ts';
import { createSimulation, SimStorage } from '../../host/platform/sim/index.ts';
import type { Journal } from '../../host/platform/sim/journal.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { attachAlone } from '../support/attach.ts';
import { testSeeds } from '../support/seeds.ts';
import { Guest } from './crash-harness.ts';
import { DiskModel, sectorBytes } from './disk-model.ts';

const diskSectors = 1024;
const grainSectors = 128;

function open(platform: Platform, filename: string): Promise<BlockBackend> {
  const graph = createGraph({ platform, drivers: [file, vmdk], emit: () => {} });
  const options = { driver: 'vmdk', discard: 'unmap', file: { driver: 'file', filename } };
  return graph.open(options).then((node) => attachAlone(node, Perm.all));
}

async function make(
  platform: Platform,
  filename: string,
  values: Record<string, string | boolean>,
): Promise<void> {
  const graph = createGraph({ platform, drivers: [file, vmdk], emit: () => {} });
  await createImage(graph, {
    filename,
    format: 'vmdk',
    size: diskSectors * sectorBytes,
    quiet: true,
    values,
  });
}

/** Requests that do not touch the same sectors, some at once. */
async function useDisk(guest: Guest, random: Prng): Promise<void> {
  for (let round = 0; round < 6; round++) {
    const slices = 1 + random.below(4);
    const slice = Math.floor(diskSectors / slices);
    await Promise.all(
      Array.from({ length: slices }, async (_, i) => {
        const start = i * slice + random.below(slice / 2);
        const count = 1 + random.below(Math.min(slice / 2, 2 * grainSectors));
        if (random.below(4) === 0) await guest.writeZeroes(start, count, random.below(2) === 0);
        else await guest.write(start, count);
      }),
    );
    if (random.below(2) === 0) await guest.flush();
  }
}

async function run(seed: number): Promise<void> {
  const random = new Prng(seed);
  const storage = new SimStorage();
  const first = createSimulation(seed, { storage, latency: 'instant', record: false });
  const before = await first.run(async () => {
    await make(first.platform, '/base.vmdk', {});
    const disk = await open(first.platform, '/base.vmdk');
    const guest = new Guest(disk, { entries: [] });
    await guest.write(0, 300);
    await guest.write(500, 200);
    await disk.close();
    const parent = { backing_file: 'base.vmdk', backing_fmt: 'vmdk' };
    await make(first.platform, '/disk.vmdk', { ...parent, zeroed_grain: random.below(2) === 0 });
    return guest;
  });
  const recorded = createSimulation(seed, { storage, record: true });
  const guest = await recorded.run(async () => {
    const disk = await open(recorded.platform, '/disk.vmdk');
    const above = new Guest(disk, recorded.journal ?? { entries: [] }, before);
    await useDisk(above, random);
    await disk.close();
    return above;
  });
  const model = new DiskModel(guest.events, diskSectors);
  for (const state of crashStates(recorded.journal as Journal, { maxStates: 60, seed })) {
    model.advanceTo(state.cut);
    const after = createSimulation(1, { storage: state.storage, latency: 'instant', record: false });
    await after.run(async () => {
      const disk = await open(after.platform, '/disk.vmdk');
      const content = new Uint8Array(diskSectors * sectorBytes);
      await disk.read(0, content);
      const problem = model.verify(diskSectors, (sector) =>
        content.subarray(sector * sectorBytes, (sector + 1) * sectorBytes),
      );
      expect(problem, state.description).toBeUndefined();
      const lines: string[] = [];
      const fix = { leaks: false, errors: false };
      await checkImage(disk.node.driver, { fix, report: (line) => void lines.push(line) });
      expect(lines, state.description).toEqual([]);
      // It serves as before.
      await disk.write(0, content.subarray(0, 4096));
      await disk.close();
    });
  }
}

testSeeds({ first: 1, count: Number(process.env['VMDK_CRASH_SEEDS'] ?? 8), batch: 4 }, run);
