/**
 * Persistent bitmaps after an unclean exit: a guest writes, a client adds, clears, merges, switches and removes bitmaps and
 * makes backups from them; in every state that a crash could have left, each bitmap is there, usable, and covers every
 * write on the disk that it has to. The states are opened twice: the second crash comes right after the first write.
 */
import { describe, expect, test } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import type { HostFile, Platform } from '../../host/platform/platform.ts';
import { crashStates, createSimulation, SimStorage } from '../../host/platform/sim/index.ts';
import { commands } from '../../host/qmp/commands/index.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { attach, readWrite } from '../support/attach.ts';
import { Seeded } from '../support/seeded.ts';
import { mib } from '../support/units.ts';

const diskBytes = 4 * mib;
const imagePath = '/disk.img';
const sectorBytes = 512;
/** The guest writes single sectors, this far from each other. */
const slotBytes = 65_536;
const slots = diskBytes / slotBytes;

type Format = 'qcow2' | 'raw';

/** What had happened when the disk's own record had `position` entries. */
type Event = { position: number; bitmap: string } & (
  | { type: 'added' | 'removing' | 'clearing' | 'enabled' | 'disabling' }
  | { type: 'merging' | 'merged'; source: string }
  | { type: 'writing' | 'written'; value: number }
);

/** What a bitmap must have at the end of `events`: values of writes. Undefined: it need not be there. */
function demands(events: readonly Event[], cut: number): Map<string, Set<number>> {
  const must = new Map<string, Set<number>>();
  const recording = new Set<string>();
  const inFlight = new Set<number>();
  let merging: number[] = [];
  for (const event of events) {
    if (event.position > cut) break;
    const { type, bitmap } = event;
    if (type === 'added') must.set(bitmap, new Set());
    if (type === 'added' || type === 'enabled') recording.add(bitmap);
    if (type === 'removing') must.delete(bitmap);
    if (type === 'clearing') must.get(bitmap)?.clear();
    // What is in flight is recorded when it is over: too late for the merge.
    if (type === 'merging') merging = [...must.get(event.source)!].filter((value) => !inFlight.has(value));
    if (type === 'merged') for (const value of merging) must.get(bitmap)!.add(value);
    if (type === 'removing' || type === 'disabling') {
      recording.delete(bitmap);
      for (const value of inFlight) must.get(bitmap)?.delete(value);
    }
    if (type === 'written') inFlight.delete(event.value);
    if (type === 'writing') {
      inFlight.add(event.value);
      for (const name of recording) must.get(name)!.add(event.value);
    }
  }
  return must;
}

async function openDisk(server: QmpServer, format: Format): Promise<BlockBackend> {
  await server.runLocally('blockdev-add', () => ({
    driver: format,
    'node-name': 'disk',
    file: { driver: 'file', filename: imagePath },
  }));
  return attach(server.graph.getNode('disk'), readWrite);
}

function sector(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array(sectorBytes / 4).fill(value).buffer);
}

/** A guest and a client, side by side. Returns what happened. */
class Run {
  readonly events: Event[] = [];
  private readonly server: QmpServer;
  private backend!: BlockBackend;
  private nextValue = 1;
  private readonly names = new Set<string>();
  private jobs = 0;

  constructor(
    private readonly platform: Platform,
    private readonly entries: () => number,
    private readonly random: Seeded,
    private readonly format: Format,
  ) {
    this.server = new QmpServer({ platform, drivers, commands });
  }

  private note(event: Event extends infer E ? (E extends Event ? Omit<E, 'position'> : never) : never): void {
    this.events.push({ ...event, position: this.entries() } as Event);
  }

  private async execute(name: string, args: object): Promise<void> {
    await this.server.runLocally(name, () => args);
  }

  async live(steps: number): Promise<void> {
    this.backend = await openDisk(this.server, this.format);
    await this.execute('blockdev-add', { driver: 'null-co', 'node-name': 'target', size: diskBytes });
    await this.add('a');
    let isOver = false;
    const guest = (async () => {
      while (!isOver) await this.write();
    })();
    for (let step = 0; step < steps; step++) await this.step();
    isOver = true;
    await guest;
    await this.backend.close();
    await this.server.stop();
    await this.server.close();
  }

  private async write(): Promise<void> {
    const { random } = this;
    if (random.oneIn(5)) return this.backend.flush();
    // Slots are never in flight twice: the order on the disk would be anybody's guess.
    const first = random.below(slots / 2);
    const writes = random.oneIn(2) ? [first] : [first, first + slots / 2];
    await Promise.all(
      writes.map(async (slot) => {
        const value = this.nextValue++;
        this.note({ type: 'writing', value, bitmap: '' });
        await this.backend.write(slot * slotBytes, sector(value));
        this.note({ type: 'written', value, bitmap: '' });
      }),
    );
  }

  private bitmap(verb: string, name: string, more: object = {}): Promise<void> {
    return this.execute(`block-dirty-bitmap-${verb}`, { node: 'disk', name, ...more });
  }

  private async add(name: string): Promise<void> {
    await this.bitmap('add', name, { persistent: true, granularity: 512 });
    this.names.add(name);
    this.note({ type: 'added', bitmap: name });
  }

  private async step(): Promise<void> {
    const { random } = this;
    const bitmap = random.pick(['a', 'b', 'c']);
    if (!this.names.has(bitmap)) return this.add(bitmap);
    switch (random.below(6)) {
      case 0:
        this.note({ type: 'removing', bitmap });
        this.names.delete(bitmap);
        return this.bitmap('remove', bitmap);
      case 1:
        this.note({ type: 'clearing', bitmap });
        return this.bitmap('clear', bitmap);
      case 2:
        this.note({ type: 'disabling', bitmap });
        return this.bitmap('disable', bitmap);
      case 3:
        await this.bitmap('enable', bitmap);
        return this.note({ type: 'enabled', bitmap });
      case 4: {
        const source = random.pick([...this.names]);
        this.note({ type: 'merging', bitmap, source });
        await this.execute('block-dirty-bitmap-merge', { node: 'disk', target: bitmap, bitmaps: [source] });
        return this.note({ type: 'merged', bitmap, source });
      }
      default:
        return this.backUp(bitmap);
    }
  }

  private async backUp(bitmap: string): Promise<void> {
    const id = `job${this.jobs++}`;
    this.note({ type: 'clearing', bitmap });
    const options = { sync: 'incremental', bitmap, 'auto-dismiss': false };
    await this.execute('blockdev-backup', { 'job-id': id, device: 'disk', target: 'target', ...options });
    while (this.server.jobs.get(id).status !== 'concluded') {
      await new Promise<void>((resolve) => void this.platform.clock.setTimer(10_000, resolve));
    }
    await this.execute('job-dismiss', { id });
  }
}

/** What is wrong when the disk is opened. The process is then killed, having written to slot `killedAt`. */
async function examine(
  storage: SimStorage,
  format: Format,
  must: ReadonlyMap<string, ReadonlySet<number>>,
  killedAt: number,
  also: readonly number[] = [],
): Promise<string[]> {
  const simulation = createSimulation(1, { storage, latency: 'instant', record: false });
  const server = new QmpServer({ platform: simulation.platform, drivers, commands });
  const backend = await openDisk(server, format);
  const bitmaps = bitmapsOf(server.graph.getNode('disk'));
  const wrong: string[] = [];
  const read = new Uint8Array(sectorBytes);
  for (const [name, values] of must) {
    const bitmap = bitmaps.find(name);
    if (!bitmap || bitmap.inconsistent) {
      wrong.push(`'${name}' is ${bitmap ? 'inconsistent' : 'missing'}`);
      continue;
    }
    for (let slot = 0; slot < slots; slot++) {
      await backend.read(slot * slotBytes, read);
      const value = new Uint32Array(read.buffer)[0]!;
      const isNeeded = values.has(value) || (also.includes(slot) && bitmap.recording);
      if (isNeeded && !bitmap.bits.get(slot * slotBytes)) wrong.push(`'${name}' misses ${value} at ${slot}`);
    }
  }
  await backend.write(killedAt * slotBytes, sector(0xffffffff));
  return wrong;
}

/** Runs, and looks at what crashes leave. */
async function explore(
  seed: number,
  format: Format,
  distort: (platform: Platform) => Platform = (platform) => platform,
): Promise<{ failures: string[]; states: number; demanded: number }> {
  const storage = new SimStorage();
  const maker = createSimulation(seed, { storage, latency: 'instant', record: false });
  const graph = createGraph({ platform: maker.platform, drivers });
  await createImage(graph, { filename: imagePath, format, size: diskBytes, quiet: true, values: {} });
  const simulation = createSimulation(seed, { storage, latency: { minNs: 1000, maxNs: 40_000 } });
  const entries = () => simulation.journal!.entries.length;
  const run = new Run(distort(simulation.platform), entries, new Seeded(seed), format);
  await simulation.run(() => run.live(12));
  const failures: string[] = [];
  let [states, demanded] = [0, 0];
  for (const state of crashStates(simulation.journal!, { maxStates: 150, randomPerCut: 4, seed })) {
    const must = demands(run.events, state.cut);
    demanded += must.size;
    states++;
    const slot = seed % slots;
    let wrong = await examine(state.storage, format, must, slot);
    if (wrong.length === 0) wrong = await examine(state.storage, format, must, slot, [slot]);
    if (wrong.length > 0) failures.push(`${state.description}: ${wrong.join('; ')}`);
  }
  return { failures, states, demanded };
}

/** A platform on which nothing that is written beside an image is ever flushed. */
function withoutJournalFlush(platform: Platform): Platform {
  const files = Object.create(platform.files) as Platform['files'];
  files.open = async (path, options) => {
    const file = await platform.files.open(path, options);
    if (!path.endsWith('.bitmaps')) return file;
    const lazy = Object.create(file) as HostFile;
    lazy.flush = async () => {};
    for (const name of ['read', 'write', 'getSize', 'close'] as const) {
      Object.assign(lazy, { [name]: (file[name] as (...args: unknown[]) => unknown).bind(file) });
    }
    return lazy;
  };
  for (const name of ['stat', 'unlink', 'identify'] as const) {
    Object.assign(files, { [name]: platform.files[name].bind(platform.files) });
  }
  return { ...platform, clock: platform.clock, files };
}

describe('bitmaps of an image that a crash left', () => {
  for (const format of ['qcow2', 'raw'] as const) {
    test(`${format}: are all there and cover every write`, { timeout: 120_000 }, async () => {
      let demanded = 0;
      for (let seed = 1; seed <= 6; seed++) {
        const explored = await explore(seed, format);
        expect(explored.failures, `seed ${seed}`).toEqual([]);
        demanded += explored.demanded;
      }
      expect(demanded).toBeGreaterThan(500);
    });

    test(`${format}: miss some when the journal is not flushed`, { timeout: 60_000 }, async () => {
      const failures: string[] = [];
      for (let seed = 1; seed <= 3 && failures.length === 0; seed++) {
        failures.push(...(await explore(seed, format, withoutJournalFlush)).failures);
      }
      expect(failures).not.toEqual([]);
    });
  }
});
