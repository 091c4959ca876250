/**
 * Runs a guest on a qcow2 image in the simulator, and then looks at every state that a crash could have left.
 *
 * The guest's disk is modelled by sectors of 512 bytes. Every write gives each sector a number of its own (repeated to
 * fill it), so that a sector that reads as anything but what the model allows is recognised: the number of its last
 * write before the last completed flush, or of any write that began later. Zero stands for zeros.
 *
 * The guest must not have two requests in flight for one sector.
 */
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import { checkImage } from '../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../host/formats/qcow2/create/create.ts';
import type { ImageFile } from '../../host/formats/qcow2/disk/image-file.ts';
import { qcow2 } from '../../host/formats/qcow2/driver.ts';
import { createGraph } from '../../host/graph.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { createSimulation, type FaultRule, type SimStorage } from '../../host/platform/sim/index.ts';
import {
  applyTo,
  type Journal,
  JournalReplay,
  type VolatileChange,
} from '../../host/platform/sim/journal.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { attach } from '../support/attach.ts';
import { DiskModel, type ModelEvent, sectorBytes, type TimedEvent } from './disk-model.ts';
import { RawImage } from './raw-qcow2.ts';

export const imagePath = '/disk.qcow2';

export async function openImage(
  platform: Platform,
  options: Record<string, unknown> = {},
): Promise<{ backend: BlockBackend; close(): Promise<void> }> {
  const graph = createGraph({ platform, drivers: [file, qcow2], emit: () => {} });
  const node = await graph.open(
    {
      driver: 'qcow2',
      discard: 'unmap',
      // No write of an image in order may hit metadata, whatever is looked for.
      'overlap-check': 'all',
      file: { driver: 'file', filename: imagePath, discard: 'unmap' },
      ...options,
    },
    { readOnly: options['read-only'] === true },
  );
  const backend = await attach(node, node.readOnly ? Perm.consistentRead : Perm.all);
  return {
    backend,
    async close() {
      await backend.close();
      await graph.unref(node);
    },
  };
}

/** A new image. */
export async function makeImage(values: Record<string, string | number | boolean>): Promise<SimStorage> {
  const { platform, storage } = createSimulation(1, { latency: 'instant', record: false });
  const image = await platform.files.open(imagePath, { write: true, create: 'exclusive' });
  await createImage(image, values);
  await image.close();
  return storage;
}

/** Does requests and keeps the record of them. Offsets and lengths are in sectors. */
export class Guest {
  readonly events: TimedEvent[] = [];
  private nextValue = 1;
  private flushes = 0;

  /** `before`: the guest that used the disk until now, and closed it. */
  constructor(
    readonly backend: BlockBackend,
    readonly journal: { readonly entries: readonly unknown[] },
    before?: Guest,
  ) {
    if (!before) return;
    this.nextValue = before.nextValue;
    this.flushes = before.flushes;
    this.events.push(...before.events);
    this.note({ type: 'flush' });
    this.note({ type: 'flushed', flush: this.flushes++ });
  }

  private note(event: ModelEvent): void {
    this.events.push({ ...event, position: this.journal.entries.length });
  }

  private async change(first: number, values: number[], act: () => Promise<void>): Promise<void> {
    this.note({ type: 'write', first, values });
    if (await this.succeeds(act)) this.note({ type: 'written', first, values });
  }

  /** An I/O error is the guest's to bear: the request may have happened or not. */
  private async succeeds(act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      if (error instanceof BlockError && error.errno === 'EIO') return false;
      throw error;
    }
  }

  private freshSectors(count: number): { values: number[]; data: Uint8Array } {
    const values = Array.from({ length: count }, () => this.nextValue++);
    const data = new Uint8Array(count * sectorBytes);
    const words = new Uint32Array(data.buffer);
    for (let i = 0; i < words.length; i++) words[i] = values[Math.floor(i / (sectorBytes / 4))]!; // one per sector
    return { values, data };
  }

  write(first: number, count = 1): Promise<void> {
    const { values, data } = this.freshSectors(count);
    return this.change(first, values, () => this.backend.write(first * sectorBytes, data));
  }

  writeCompressed(first: number, count: number): Promise<void> {
    const { values, data } = this.freshSectors(count);
    return this.change(first, values, () => this.backend.writeCompressed(first * sectorBytes, data));
  }

  writeZeroes(first: number, count: number, mayUnmap: boolean): Promise<void> {
    return this.change(first, Array(count).fill(0), () =>
      this.backend.writeZeroes(first * sectorBytes, count * sectorBytes, { mayUnmap }),
    );
  }

  /** Whole clusters: of others nothing would be discarded. */
  discard(first: number, count: number): Promise<void> {
    return this.change(first, Array(count).fill(0), () =>
      this.backend.discard(first * sectorBytes, count * sectorBytes),
    );
  }

  async resize(sectors: number): Promise<void> {
    const old = this.backend.length / sectorBytes;
    this.note({ type: 'resize', length: sectors });
    const act = async () => this.backend.truncate(sectors * sectorBytes);
    let done = true;
    const resize = async () => {
      done = await this.succeeds(act);
      if (!done) throw new BlockError('EIO');
    };
    if (sectors < old) await this.change(sectors, Array(old - sectors).fill(0), resize);
    else await this.succeeds(resize);
    if (done) this.note({ type: 'resized', length: sectors });
  }

  async flush(): Promise<void> {
    const flush = this.flushes++;
    this.note({ type: 'flush' });
    if (await this.succeeds(() => this.backend.flush())) this.note({ type: 'flushed', flush });
  }
}

export interface Recording {
  journal: Journal;
  events: readonly TimedEvent[];
  /** Of the disk at the beginning, in sectors. */
  length: number;
}

export interface Scenario {
  /** Creation options of the image. */
  image: Record<string, string | number | boolean> & { size: number; cluster_size: number };
  /** Run-time options. */
  open?: Record<string, unknown>;
  /** What happened to the image before; it was closed then. */
  before?(guest: Guest): Promise<void>;
  /** Requests to the file that fail while the guest runs. */
  fault?: FaultRule;
  /** A last change of the file before the guest starts. */
  edit?(bytes: Uint8Array): Uint8Array;
  run(guest: Guest): Promise<void>;
}

/** Runs the guest, up to a clean close. */
export async function record(
  seed: number,
  { image, open, fault, before, edit, run }: Scenario,
): Promise<Recording> {
  const storage = await makeImage(image);
  let earlier: Guest | undefined;
  if (before) earlier = await use(seed, storage, open, { record: false }, before);
  if (edit) storage.writeFile(imagePath, edit(storage.readFile(imagePath)));
  const length = new RawImage(storage.readFile(imagePath)).size / sectorBytes;
  const recorded = await use(seed, storage, open, { before: earlier, fault }, run);
  return { journal: recorded.journal as Journal, events: recorded.events, length };
}

async function use(
  seed: number,
  storage: SimStorage,
  options: Scenario['open'],
  {
    record = true,
    before,
    fault,
  }: { record?: boolean; before?: Guest | undefined; fault?: FaultRule | undefined },
  run: (guest: Guest) => Promise<void>,
): Promise<Guest> {
  const simulation = createSimulation(seed, { storage, record });
  return simulation.run(async () => {
    const image = await openImage(simulation.platform, options);
    const guest = new Guest(image.backend, simulation.journal ?? { entries: [] }, before);
    const cancel = fault && simulation.fail(fault);
    await run(guest);
    cancel?.();
    await image.close();
    return guest;
  });
}

/** How a volatile change fared: all of it is there, or only some sectors of it. */
interface Fate {
  change: VolatileChange;
  tornBy?: number;
}

export interface ExploreOptions {
  seed: number;
  /** Random selection of the states when there are more. */
  maxStates: number;
  /** All subsets of up to this many volatile changes; some of more. */
  exhaustiveUpTo?: number;
  /** Random subsets, with torn writes, at each cut where they can add something. */
  randomPerCut?: number;
  /** The image is dirty: its refcounts need not be right before it was opened. */
  lazy?: boolean;
  /** One state in so many is also opened for writing, read through the engine, written to and checked again. */
  reopenEvery?: number;
}

export interface Explored {
  states: number;
  /** Cuts at which there was every subset. */
  exhaustiveCuts: number;
  cuts: number;
  reopened: number;
  /** What was wrong, up to a few. */
  failures: string[];
}

const reportedFailures = 5;

/** Looks at the states of a recording. Each state counts once, however many ways lead to it. */
export async function explore(recording: Recording, options: ExploreOptions): Promise<Explored> {
  const { seed, maxStates, exhaustiveUpTo = 6, randomPerCut = 16, lazy = false, reopenEvery = 10 } = options;
  const { journal } = recording;
  const random = new Prng(seed);
  const result: Explored = { states: 0, exhaustiveCuts: 0, cuts: 0, reopened: 0, failures: [] };
  const replay = new JournalReplay(journal);
  const model = new DiskModel(recording.events, recording.length);
  const seen = new Set<string>();
  const cuts = journal.entries.flatMap(({ type }, index) =>
    type === 'issue' || type === 'flush-complete' ? [index + 1] : [],
  );
  cuts.push(journal.entries.length);
  let flushes = 0;
  let position = 0;
  let left = cuts.length;
  for (const cut of cuts) {
    for (; position < cut; position++) if (journal.entries[position]!.type === 'flush-complete') flushes++;
    replay.advanceTo(cut);
    model.advanceTo(cut);
    const volatile = replay.volatileChanges();
    const exhaustive = volatile.length <= exhaustiveUpTo;
    let choices = exhaustive ? allSubsets(volatile) : someSubsets(volatile);
    if (
      !exhaustive ||
      volatile.some(({ change }) => change.type === 'write' && change.data.length > sectorBytes)
    )
      choices.push(...randomSubsets(volatile, randomPerCut, random));
    const epoch = `${flushes}/${model.flushesDone}`;
    choices = choices.filter((fates) => {
      const key = `${epoch}: ${describe(fates)}`;
      return !seen.has(key) && seen.add(key);
    });
    // What is left of the budget is shared among the cuts that are left.
    const budget = Math.ceil((maxStates - result.states) / left--);
    result.cuts++;
    if (choices.length > budget) {
      random.shuffle(choices);
      choices.length = budget;
    } else if (exhaustive) result.exhaustiveCuts++;
    for (const fates of choices) {
      result.states++;
      const storage = materialise(replay, fates);
      const reopen = lazy || result.states % reopenEvery === 0;
      const problem = await examine(storage, model, { lazy, reopen });
      if (reopen) result.reopened++;
      if (problem === undefined) continue;
      result.failures.push(
        `cut ${cut} of ${journal.entries.length}, of ${volatile.length} volatile changes ${describe(fates)}: ${problem}`,
      );
      if (result.failures.length === reportedFailures) return result;
    }
  }
  return result;
}

function describe(fates: readonly Fate[]): string {
  return fates
    .map(({ change, tornBy }) => `#${change.id}${tornBy === undefined ? '' : `~${tornBy}`}`)
    .join(' ');
}

function allSubsets(volatile: readonly VolatileChange[]): Fate[][] {
  const subsets: Fate[][] = [];
  for (let mask = 0; mask < 2 ** volatile.length; mask++) {
    subsets.push(volatile.filter((_, i) => (mask >> i) & 1).map((change) => ({ change })));
  }
  return subsets;
}

/** None, all, each alone, and all but each. */
function someSubsets(volatile: readonly VolatileChange[]): Fate[][] {
  const subsets: Fate[][] = [[], volatile.map((change) => ({ change }))];
  for (const one of volatile) {
    subsets.push(
      [{ change: one }],
      volatile.filter((other) => other !== one).map((change) => ({ change })),
    );
  }
  return subsets;
}

/** Each change with one chance in two, and torn with one in four. */
function randomSubsets(volatile: readonly VolatileChange[], count: number, random: Prng): Fate[][] {
  const subsets: Fate[][] = [];
  for (let i = 0; i < count; i++) {
    subsets.push(
      volatile
        .filter(() => random.below(2) === 0)
        .map((change) => (random.below(4) === 0 ? { change, tornBy: random.next() } : { change })),
    );
  }
  return subsets;
}

function materialise(replay: JournalReplay, fates: readonly Fate[]): SimStorage {
  const storage = replay.durable.clone();
  for (const {
    change: { inode, change },
    tornBy,
  } of fates) {
    if (tornBy === undefined || change.type !== 'write') {
      applyTo(storage, inode, change);
      continue;
    }
    const random = new Prng(tornBy);
    for (let at = 0; at < change.data.length; ) {
      const end = Math.min(change.data.length, at + sectorBytes - ((change.offset + at) % sectorBytes));
      const data = change.data.subarray(at, end);
      if (random.below(2) === 0) applyTo(storage, inode, { type: 'write', offset: change.offset + at, data });
      at = end;
    }
  }
  return storage;
}

async function examine(
  storage: SimStorage,
  model: DiskModel,
  { lazy, reopen }: { lazy: boolean; reopen: boolean },
): Promise<string | undefined> {
  try {
    let problem = lazy ? undefined : await checkBytes(storage.readFile(imagePath));
    problem ??= verifyBytes(storage.readFile(imagePath), model);
    if (problem !== undefined || !reopen) return problem;
    problem = await reopenAndWrite(storage, model);
    problem ??= await checkBytes(storage.readFile(imagePath));
    return problem === undefined ? undefined : `after it was opened again, ${problem}`;
  } catch (error) {
    return `${error}`;
  }
}

/** What a consistency check finds beyond leaks. */
export async function checkBytes(bytes: Uint8Array): Promise<string | undefined> {
  const { corruptions, checkErrors, lines } = await findingsIn(bytes);
  if (corruptions === 0 && checkErrors === 0) return undefined;
  const errors = lines.filter((line) => !line.startsWith('Leaked')).slice(0, 3);
  return `${corruptions} corruptions, ${checkErrors} check errors: ${errors.join('; ')}`;
}

/** All that a check finds in an image. */
export async function findingsIn(
  bytes: Uint8Array,
): Promise<{ corruptions: number; checkErrors: number; lines: string[] }> {
  const lines: string[] = [];
  const { corruptions, checkErrors } = await checkImage(asFile(bytes), {
    fix: { leaks: false, errors: false },
    report: (line) => lines.push(line),
  });
  return { corruptions, checkErrors, lines };
}

function verifyBytes(bytes: Uint8Array, model: DiskModel): string | undefined {
  const image = new RawImage(bytes);
  const perCluster = image.clusterSize / sectorBytes;
  const clusters = new Map<number, Uint8Array>();
  return model.verify(image.size / sectorBytes, (sector) => {
    const index = Math.floor(sector / perCluster);
    let cluster = clusters.get(index);
    if (!cluster) clusters.set(index, (cluster = image.readCluster(index)));
    const start = (sector % perCluster) * sectorBytes;
    return cluster.subarray(start, start + sectorBytes);
  });
}

/** Opening for writing repairs what has to be; then the image must serve as any other. */
async function reopenAndWrite(storage: SimStorage, model: DiskModel): Promise<string | undefined> {
  const { platform } = createSimulation(1, { storage, latency: 'instant', record: false });
  const { backend, close } = await openImage(platform);
  const disk = new Uint8Array(backend.length);
  await backend.read(0, disk);
  const problem = model.verify(disk.length / sectorBytes, (sector) =>
    disk.subarray(sector * sectorBytes, (sector + 1) * sectorBytes),
  );
  const written = new Uint8Array(sectorBytes).fill(0xa5);
  const step = Math.max(sectorBytes, Math.floor(disk.length / 16 / sectorBytes) * sectorBytes);
  for (let offset = 0; offset < disk.length; offset += step) {
    await backend.write(offset, written);
    disk.set(written, offset);
  }
  const again = new Uint8Array(disk.length);
  await backend.read(0, again);
  await close();
  if (problem !== undefined) return problem;
  return Buffer.compare(disk, again) === 0 ? undefined : 'what was written does not read back';
}

function asFile(bytes: Uint8Array): ImageFile {
  const refuse = async (): Promise<void> => {
    throw new Error('a check without repair changes nothing');
  };
  return {
    length: Math.ceil(bytes.length / sectorBytes) * sectorBytes,
    async read(offset, buffer) {
      buffer.fill(0);
      if (offset < bytes.length) buffer.set(bytes.subarray(offset, offset + buffer.length));
    },
    write: refuse,
    flush: refuse,
  };
}
