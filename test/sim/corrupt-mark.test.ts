/**
 * An image that is found to be damaged is marked before anybody can think that it is done with: whatever a crash leaves
 * after the failed request, or after the close, nobody writes to the image any more.
 */
import { describe, expect, test } from 'vitest';
import {
  createSimulation,
  type FaultRule,
  SimStorage,
  type Simulation,
} from '../../host/platform/sim/index.ts';
import { JournalReplay } from '../../host/platform/sim/journal.ts';
import { imagePath, makeImage, openImage } from './crash-harness.ts';
import { RawImage } from './raw-qcow2.ts';

const copied = 1n << 63n;
const corruptBit = 2n;
const incompatibleFeatures = 72;

/** An image whose only L2 table maps guest cluster 0 to the refcount table. */
async function damagedImage(): Promise<Uint8Array> {
  const storage = await makeImage({ size: 1 << 20, cluster_size: 4096 });
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  const { backend, close } = await openImage(platform);
  await backend.write(0, new Uint8Array(4096).fill(1));
  await close();
  const bytes = storage.readFile(imagePath);
  const image = new RawImage(bytes);
  const table = Number(image.entry(image.l1.offset) & 0x00fffffffffffe00n);
  image.view.setBigUint64(table, image.entry(48) | copied);
  return bytes;
}

interface Run {
  simulation: Simulation;
  /** Whether the image is marked in what is certainly durable, after so many entries of the journal. */
  isMarked(position: number): boolean;
}

async function damagedRun(seed: number): Promise<Run> {
  const storage = new SimStorage();
  storage.writeFile(imagePath, await damagedImage());
  const simulation = createSimulation(seed, { storage });
  const { journal } = simulation;
  return {
    simulation,
    isMarked(position) {
      const replay = new JournalReplay(journal!); // recorded
      replay.advanceTo(position);
      const { view } = new RawImage(replay.durable.readFile(imagePath));
      return (view.getBigUint64(incompatibleFeatures) & corruptBit) !== 0n;
    },
  };
}

describe('a write that would hit metadata', () => {
  test('fails when the mark is durable', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { simulation, isMarked } = await damagedRun(seed);
      const position = await simulation.run(async () => {
        const { backend, close } = await openImage(simulation.platform);
        await expect(backend.write(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EIO' });
        const failedAt = simulation.journal!.entries.length; // recorded
        await expect(backend.read(8192, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EIO' });
        await close();
        return failedAt;
      });
      expect(isMarked(position)).toBe(true);
    }
  });

  test('leaves its mark when the image is closed while the write is still failing', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { simulation, isMarked } = await damagedRun(seed);
      await simulation.run(async () => {
        const { backend, close } = await openImage(simulation.platform);
        const failing = backend.write(0, new Uint8Array(512)).catch(() => {});
        await close();
        await failing;
      });
      expect(isMarked(simulation.journal!.entries.length)).toBe(true); // recorded
    }
  });

  test('fails all the same when the mark cannot be written, which is told', async () => {
    const { simulation } = await damagedRun(1);
    const fault: FaultRule = { type: 'write', range: { offset: 0, bytes: 512 }, errno: 'ENOSPC' };
    await simulation.run(async () => {
      const { backend, close } = await openImage(simulation.platform);
      simulation.fail(fault);
      await expect(backend.write(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EIO' });
      await expect(backend.write(0, new Uint8Array(512))).rejects.toMatchObject({ errno: 'EIO' });
      await close();
    });
    expect(simulation.output.stderr).toEqual([
      'qcow2: Marking image as corrupt: Preventing invalid write on metadata (overlaps with refcount table); ' +
        'further corruption events will be suppressed',
      'qcow2: The image could not be marked as corrupt: No space left on device',
    ]);
  });
});
