/**
 * What a crash can do to internal snapshots: at any moment, with any part of what was not flushed lost, the image has the
 * snapshots from before or from after what was being done to them, each with its data and its VM state; the disk is what
 * it was or what it was to become; and writing to it then changes no snapshot.
 *
 * Refcounts may be too high. COPIED flags may be wrong as a check sees it, which compares them with the refcounts, but a
 * flag that is set says the truth: nothing else refers to the cluster.
 */
import { describe, expect, test } from 'vitest';
import type { InternalSnapshot } from '../../host/block/snapshot-storage.ts';
import { applySnapshot, findSnapshot, viewSnapshot } from '../../host/block/snapshots.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { crashStates, createSimulation, type SimStorage } from '../../host/platform/sim/index.ts';
import type { Journal } from '../../host/platform/sim/journal.ts';
import { kib } from '../support/units.ts';
import { findingsIn, imagePath, makeImage, openImage } from './crash-harness.ts';

const sectorBytes = 512;

type Opened = Awaited<ReturnType<typeof openImage>>;

interface Kept {
  readonly name: string;
  readonly disk: Uint8Array;
  readonly vmState: Uint8Array;
}

interface World {
  disk: Uint8Array;
  kept: readonly Kept[];
}

/** What was the case before something was done, and after it; in the middle it may be either. */
interface Phase {
  /** Entries of the journal before it began, and when it was over. */
  begin: number;
  end: number;
  before: World;
  after: World;
  /** A write: each sector by itself may be the old one or the new one. */
  bySector: boolean;
}

/** Does things to a disk and notes what it must be in between. */
class Recorder {
  readonly phases: Phase[] = [];
  private nextByte = 0;

  constructor(
    private readonly image: Opened,
    private readonly journal: { readonly entries: readonly unknown[] },
    public world: World,
  ) {}

  private get storage() {
    return this.image.backend.node.driver.snapshots!;
  }

  private find(name: string): InternalSnapshot {
    return findSnapshot(this.storage, { name })!;
  }

  private async phase(after: World, bySector: boolean, act: () => Promise<unknown>): Promise<void> {
    const begin = this.journal.entries.length;
    await act();
    this.phases.push({ begin, end: this.journal.entries.length, before: this.world, after, bySector });
    this.world = after;
  }

  write(offset: number, bytes: number): Promise<void> {
    const data = Uint8Array.from({ length: bytes }, () => 1 + (this.nextByte++ % 250));
    const disk = this.world.disk.slice();
    disk.set(data, offset);
    return this.change(disk, () => this.image.backend.write(offset, data));
  }

  discard(offset: number, bytes: number): Promise<void> {
    const disk = this.world.disk.slice().fill(0, offset, offset + bytes);
    return this.change(disk, () => this.image.backend.discard(offset, bytes));
  }

  writeCompressed(offset: number, bytes: number): Promise<void> {
    const disk = this.world.disk.slice().fill(7, offset, offset + bytes);
    return this.change(disk, () =>
      this.image.backend.writeCompressed(offset, disk.slice(offset, offset + bytes)),
    );
  }

  private change(disk: Uint8Array, act: () => Promise<void>): Promise<void> {
    return this.phase({ ...this.world, disk }, true, async () => {
      await act();
      await this.image.backend.flush();
    });
  }

  async create(name: string, vmStateBytes = 0): Promise<void> {
    const vmState = new Uint8Array(vmStateBytes).fill(200 + (this.nextByte++ % 50));
    const kept = [...this.world.kept, { name, disk: this.world.disk, vmState }];
    await this.phase({ ...this.world, kept }, false, async () => {
      await this.storage.saveVmState(0, vmState);
      await this.storage.create({
        name,
        dateSeconds: 1,
        dateNanoseconds: 0,
        vmClockNs: 0n,
        vmStateBytes,
        icount: undefined,
      });
    });
  }

  delete(name: string): Promise<void> {
    const kept = this.world.kept.filter((one) => one.name !== name);
    return this.phase({ ...this.world, kept }, false, () => this.storage.delete(this.find(name)));
  }

  apply(name: string): Promise<void> {
    const { disk } = this.world.kept.find((one) => one.name === name)!;
    return this.phase({ ...this.world, disk }, false, () =>
      applySnapshot(this.image.backend.node, this.find(name)),
    );
  }

  resize(bytes: number): Promise<void> {
    const disk = new Uint8Array(bytes);
    disk.set(this.world.disk.subarray(0, bytes));
    return this.phase({ ...this.world, disk }, false, () => this.image.backend.truncate(bytes));
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function isDisk(seen: Uint8Array, { before, after, bySector }: Phase): boolean {
  if (equal(seen, before.disk) || equal(seen, after.disk)) return true;
  if (!bySector || seen.length !== before.disk.length) return false;
  for (let at = 0; at < seen.length; at += sectorBytes) {
    const sector = (disk: Uint8Array) => disk.subarray(at, at + sectorBytes);
    if (!equal(sector(seen), sector(before.disk)) && !equal(sector(seen), sector(after.disk))) return false;
  }
  return true;
}

/** What is wrong with the structure of an image, beyond what a crash may do. */
async function problems(bytes: Uint8Array): Promise<string[]> {
  const clusterSize = 2 ** new DataView(bytes.buffer, bytes.byteOffset).getUint32(20);
  const { lines } = await findingsIn(bytes);
  const counted = new Map<number, string>();
  for (const line of lines) {
    const leak = /^Leaked cluster (\d+) refcount=\d+ reference=(\d+)/.exec(line);
    if (leak) counted.set(Number(leak[1]), leak[2]!);
  }
  return lines.filter((line) => {
    if (line === '' || line.startsWith('Leaked cluster')) return false;
    const flag = /OFLAG_COPIED .*(?:l2_entry|l1_entry)=([0-9a-f]+) refcount=(\d+)/.exec(line);
    if (!flag) return true;
    const entry = BigInt(`0x${flag[1]}`);
    const cluster = Number(entry & 0x00fffffffffffe00n) / clusterSize;
    return entry >> 63n === 1n && counted.get(cluster) !== '1';
  });
}

async function withState<T>(
  storage: SimStorage,
  options: { readOnly: boolean },
  use: (image: Opened, platform: Platform) => Promise<T>,
): Promise<T> {
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  const image = await openImage(platform, options.readOnly ? { 'read-only': true } : {});
  try {
    return await use(image, platform);
  } finally {
    await image.close();
  }
}

async function readAll({ backend }: Opened): Promise<Uint8Array> {
  const disk = new Uint8Array(backend.length);
  await backend.read(0, disk);
  return disk;
}

/** The snapshots that the image shows, or what is wrong with one. */
async function wrongSnapshot(storage: SimStorage, world: World): Promise<string | undefined> {
  for (const { name, disk, vmState } of world.kept) {
    const wrong = await withState(storage, { readOnly: true }, async (image) => {
      const snapshots = image.backend.node.driver.snapshots!;
      const snapshot = findSnapshot(snapshots, { name })!;
      const state = new Uint8Array(Number(snapshot.vmStateBytes));
      await snapshots.loadVmState(snapshot, 0, state);
      if (!equal(state, vmState)) return `VM state of ${name}`;
      await viewSnapshot(image.backend.node, snapshot);
      return equal(await readAll(image), disk) ? undefined : `data of ${name}`;
    });
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

async function examine(storage: SimStorage, phase: Phase, lazy: boolean): Promise<string | undefined> {
  // A dirty image is repaired as it is opened.
  if (lazy) await withState(storage, { readOnly: false }, async () => {});
  const structure = await problems(storage.readFile(imagePath));
  if (structure.length > 0) return structure[0];
  const { names, disk } = await withState(storage, { readOnly: true }, async (image) => ({
    names: image.backend.node.driver.snapshots!.list().map(({ name }) => name),
    disk: await readAll(image),
  }));
  if (!isDisk(disk, phase)) return 'the disk';
  const isShown = ({ kept }: World) => kept.map(({ name }) => name).join() === names.join();
  const world = [phase.before, phase.after].find(isShown);
  if (!world) return `snapshots ${names}`;
  const wrong = await wrongSnapshot(storage, world);
  if (wrong !== undefined) return wrong;
  await withState(storage, { readOnly: false }, async ({ backend }) => {
    await backend.write(0, new Uint8Array(backend.length).fill(9));
  });
  const afterwards = await problems(storage.readFile(imagePath));
  if (afterwards.length > 0) return `after writing, ${afterwards[0]}`;
  const spoilt = await wrongSnapshot(storage, world);
  return spoilt === undefined ? undefined : `after writing, ${spoilt}`;
}

/**
 * A random selection of what a crash could have left, and all of it in the phases that the selection passes over: some
 * make so few writes that it may miss them.
 */
function* statesToExamine(journal: Journal, phases: readonly Phase[]) {
  const phaseAt = (cut: number) => phases.find(({ end }) => cut <= end) ?? phases.at(-1)!;
  const selected = new Set<Phase>();
  for (const state of crashStates(journal, { maxStates: 250, randomPerCut: 4 })) {
    const phase = phaseAt(state.cut);
    selected.add(phase);
    yield { state, phase };
  }
  for (const state of crashStates(journal, { randomPerCut: 4 })) {
    const phase = phaseAt(state.cut);
    if (!selected.has(phase)) yield { state, phase };
  }
}

const shapes = [
  { name: 'small clusters', image: { cluster_size: 512, refcount_bits: 64, size: 40 * kib } },
  { name: 'larger clusters', image: { cluster_size: 4096, size: 160 * kib } },
  { name: 'version 2', image: { cluster_size: 1024, compat: '0.10', size: 40 * kib } },
  { name: 'lazy refcounts', image: { cluster_size: 1024, lazy_refcounts: true, size: 40 * kib }, lazy: true },
];

describe('a crash leaves a disk and its snapshots as they were or as they were to become:', () => {
  for (const { name, image, lazy = false } of shapes) {
    test(name, { timeout: 120_000 }, async () => {
      const cluster = image.cluster_size;
      const storage = await makeImage(image);
      const simulation = createSimulation(3, { storage });
      const phases = await simulation.run(async () => {
        const opened = await openImage(simulation.platform);
        const world = { disk: new Uint8Array(image.size), kept: [] };
        const recorder = new Recorder(opened, simulation.journal!, world);
        await recorder.write(0, 6 * cluster);
        await recorder.writeCompressed(20 * cluster, cluster);
        await recorder.create('a');
        await recorder.write(3 * cluster - 512, 2 * cluster);
        await recorder.create('b', 3 * cluster + 100);
        await recorder.discard(0, 2 * cluster);
        await recorder.apply('a');
        await recorder.write(cluster, 4 * cluster);
        await recorder.apply('b');
        await recorder.delete('a');
        await recorder.write(2 * cluster, cluster);
        if (!('compat' in image)) {
          await recorder.resize(image.size * 2);
          await recorder.write(image.size + 512, cluster);
          await recorder.apply('b');
        }
        await recorder.create('c');
        await recorder.delete('b');
        await recorder.delete('c');
        await recorder.write(0, cluster);
        await opened.close();
        return recorder.phases;
      });
      const failures: string[] = [];
      const shown = new Set<Phase>();
      for (const { state, phase } of statesToExamine(simulation.journal!, phases)) {
        shown.add(phase);
        const wrong = await examine(state.storage, phase, lazy);
        if (wrong !== undefined) failures.push(`${state.description}: ${wrong}`);
        if (failures.length > 3) break;
      }
      expect(failures).toEqual([]);
      expect(shown.size).toBe(phases.length);
    });
  }
});
