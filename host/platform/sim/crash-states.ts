/**
 * The states that a crash could have left, from one recorded run (journal.ts).
 *
 * A cut after every change that was issued and after every flush that completed covers every moment that matters:
 * nothing else adds a state. At each cut the durable content is certain and any subset of the volatile changes may
 * have reached the disk, writes by sectors: taken are none, all, the newest alone, all but the newest, and random
 * subsets with torn writes.
 */
import { sectorBytes } from '../../base/sectors.ts';
import { applyTo, type Journal, JournalReplay, type VolatileChange } from './journal.ts';
import { Prng } from './prng.ts';
import type { Change, SimStorage } from './storage.ts';

interface CrashState {
  /** Entries of the journal that had happened. */
  cut: number;
  /** Which volatile changes reached the disk, for the message of a failing test. */
  description: string;
  /** To open in a new simulation. */
  storage: SimStorage;
}

interface CrashStateOptions {
  /** A random selection when there are more. */
  maxStates?: number;
  /** Random subsets, with torn writes, at each cut. */
  randomPerCut?: number;
  seed?: number;
}

/** How a volatile change fared: it is there, or only some of its sectors, chosen by a seed. */
type Fate = { id: number; tornBy?: number };

interface Choice {
  cut: number;
  fates: Fate[];
  volatileCount: number;
}

/** Cheap to iterate: one state is put together at a time. Ordered by cut. */
export function* crashStates(journal: Journal, options: CrashStateOptions = {}): Generator<CrashState> {
  const { maxStates = 10_000, randomPerCut = 2, seed = 1 } = options;
  const random = new Prng(seed);
  let choices = enumerate(journal, randomPerCut, random);
  if (choices.length > maxStates) {
    random.shuffle(choices);
    choices = choices.slice(0, maxStates).sort((a, b) => a.cut - b.cut);
  }
  const replay = new JournalReplay(journal);
  for (const { cut, fates, volatileCount } of choices) {
    replay.advanceTo(cut);
    const described = fates.map(({ id, tornBy }) => `#${id}${tornBy === undefined ? '' : ' torn'}`).join(' ');
    yield {
      cut,
      description: `cut ${cut} of ${journal.entries.length}, ${fates.length} of ${volatileCount} volatile changes: ${described}`,
      storage: materialise(replay, fates),
    };
  }
}

/** The state at one cut (default: the end) with the volatile changes that `keep` says. */
export function storageAt(
  journal: Journal,
  keep: (change: VolatileChange) => boolean,
  cut: number = journal.entries.length,
): SimStorage {
  const replay = new JournalReplay(journal);
  replay.advanceTo(cut);
  return materialise(replay, replay.volatileChanges().filter(keep));
}

function enumerate(journal: Journal, randomPerCut: number, random: Prng): Choice[] {
  const choices: Choice[] = [];
  const replay = new JournalReplay(journal);
  const add = (cut: number, fates: Fate[], volatileCount: number): void => {
    choices.push({ cut, fates, volatileCount });
  };
  add(0, [], 0);
  journal.entries.forEach((entry, index) => {
    if (entry.type !== 'issue' && entry.type !== 'flush-complete') return;
    const cut = index + 1;
    replay.advanceTo(cut);
    const all: Fate[] = replay.volatileChanges().map(({ id }) => ({ id }));
    add(cut, [], all.length);
    if (all.length === 0) return;
    add(cut, all, all.length);
    if (all.length > 1 && entry.type === 'issue') {
      add(cut, [{ id: entry.id }], all.length);
      add(
        cut,
        all.filter(({ id }) => id !== entry.id),
        all.length,
      );
    }
    for (let i = 0; i < randomPerCut; i++) add(cut, randomSubset(all, random), all.length);
  });
  return choices;
}

/** Each change with one chance in two, and torn with one in four. */
function randomSubset(all: readonly Fate[], random: Prng): Fate[] {
  return all
    .filter(() => random.below(2) === 0)
    .map(({ id }) => (random.below(4) === 0 ? { id, tornBy: random.next() } : { id }));
}

function materialise(replay: JournalReplay, fates: readonly Fate[]): SimStorage {
  const storage = replay.durable.clone();
  if (fates.length === 0) return storage;
  const fateOf = new Map(fates.map((fate) => [fate.id, fate]));
  for (const { id, inode, change } of replay.volatileChanges()) {
    const fate = fateOf.get(id);
    if (!fate) continue;
    if (fate.tornBy === undefined || change.type !== 'write') applyTo(storage, inode, change);
    else for (const part of tornParts(change, fate.tornBy)) applyTo(storage, inode, part);
  }
  return storage;
}

/** Some sectors of a write: either those up to a point, or any. */
function tornParts({ offset, data }: Change & { type: 'write' }, seed: number): Change[] {
  const random = new Prng(seed);
  const sectors: Change[] = [];
  for (let at = 0; at < data.length; ) {
    const bytes = Math.min(data.length - at, sectorBytes - ((offset + at) % sectorBytes));
    sectors.push({ type: 'write', offset: offset + at, data: data.subarray(at, at + bytes) });
    at += bytes;
  }
  if (random.below(2) === 0) return sectors.slice(0, random.below(sectors.length + 1));
  return sectors.filter(() => random.below(2) === 0);
}
