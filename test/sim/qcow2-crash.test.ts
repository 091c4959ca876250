/**
 * What a crash can do to a qcow2 image: at any moment, with any part of what was not flushed lost, the image is
 * consistent but for leaks, what was flushed is there, and what was not is old or new. (An image with lazy refcounts:
 * once it was opened, which repairs it.)
 *
 * Clusters are small and refcounts wide, so that tables fill up quickly.
 */
import { describe, expect, test } from 'vitest';
import type { IoOperation } from '../../host/platform/sim/index.ts';
import { Journal, type JournalEntry } from '../../host/platform/sim/journal.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { kib } from '../support/units.ts';
import { explore, type Guest, record, type Scenario } from './crash-harness.ts';
import { sectorBytes } from './disk-model.ts';
import { randomRun } from './random-guest.ts';
import { withSnapshot } from './raw-qcow2.ts';

/** Sectors are clusters, an L2 table maps 64 of them, a refcount block counts 64. */
const tiny = { cluster_size: 512, refcount_bits: 64 };
/** Eight sectors per cluster. */
const medium = { cluster_size: 4096 };
const tinyCaches = { 'l2-cache-size': 1024, 'l2-cache-entry-size': 512, 'refcount-cache-size': 2048 };

interface Case extends Scenario {
  name: string;
  maxStates: number;
  lazy?: boolean;
  /** So small that every subset at every moment is looked at. */
  exhaustive?: boolean;
}

/** Every `step`-th sector of a range, all in flight at once. */
function scattered(guest: Guest, first: number, count: number, step: number): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, i) => guest.write(first + i * step)));
}

const cases: Case[] = [
  {
    name: 'one allocating write',
    exhaustive: true,
    image: { ...tiny, size: 64 * kib },
    maxStates: 2000,
    async run(guest) {
      await guest.write(3);
      await guest.flush();
    },
  },
  {
    name: 'allocating writes without a flush, one at a time',
    image: { ...medium, size: 256 * kib },
    maxStates: 600,
    async run(guest) {
      for (const sector of [0, 9, 100, 101, 350, 20]) await guest.write(sector, 3);
    },
  },
  {
    name: 'allocating writes, many in flight',
    image: { ...medium, size: 512 * kib },
    maxStates: 800,
    async run(guest) {
      await scattered(guest, 0, 8, 5);
      await guest.flush();
      await Promise.all([scattered(guest, 1, 12, 40), guest.flush()]);
      await guest.flush();
    },
  },
  {
    name: 'overwriting in place',
    exhaustive: true,
    image: { ...medium, size: 256 * kib },
    before: (guest) => guest.write(0, 64),
    maxStates: 2000,
    async run(guest) {
      await guest.write(0, 16);
      await Promise.all([guest.write(20, 4), guest.write(40, 9)]);
      await guest.flush();
      await guest.write(0, 3);
      await guest.write(2, 7);
    },
  },
  {
    name: 'new L2 tables',
    image: { ...tiny, size: 512 * kib },
    maxStates: 800,
    async run(guest) {
      await scattered(guest, 5, 6, 64);
      await guest.flush();
      await guest.write(6 * 64 - 2, 4);
      await guest.write(10 * 64 - 1, 130);
      await guest.flush();
    },
  },
  {
    name: 'new refcount blocks',
    image: { ...tiny, size: 512 * kib },
    before: (guest) => guest.write(0, 40),
    maxStates: 1000,
    async run(guest) {
      for (let i = 0; i < 5; i++) {
        await guest.write(64 * i + 40, 23);
        if (i % 2 === 0) await guest.flush();
      }
      await scattered(guest, 400, 20, 16);
      await guest.flush();
    },
  },
  {
    name: 'a growing refcount table',
    image: { ...tiny, size: 4096 * kib },
    async before(guest) {
      for (let first = 0; first < 3900; first += 100) await guest.write(first, 100);
    },
    maxStates: 250,
    async run(guest) {
      await guest.write(3900, 44);
      await guest.write(3944, 60);
      await guest.flush();
      await guest.write(4004, 30);
    },
  },
  {
    name: 'a refcount table that grows under many writes in flight',
    image: { ...tiny, size: 4096 * kib },
    async before(guest) {
      for (let first = 0; first < 3900; first += 100) await guest.write(first, 100);
    },
    open: tinyCaches,
    maxStates: 250,
    async run(guest) {
      await guest.write(3900, 40);
      await Promise.all([scattered(guest, 3940, 30, 4), guest.flush(), guest.write(7000, 40)]);
      await guest.flush();
    },
  },
  {
    name: 'writing over clusters that are zero and allocated',
    exhaustive: true,
    image: { ...medium, size: 256 * kib },
    before: (guest) => guest.write(0, 128),
    maxStates: 2000,
    async run(guest) {
      await guest.writeZeroes(0, 64, false);
      await guest.flush();
      await guest.write(3, 2);
      await guest.write(16, 16);
      await guest.writeZeroes(16, 8, false);
      await guest.flush();
      await Promise.all([guest.write(18, 3), guest.write(41, 3), guest.writeZeroes(64, 32, false)]);
      await guest.write(66, 10);
    },
  },
  {
    name: 'discarding and using the space again',
    image: { ...medium, size: 512 * kib },
    before: (guest) => guest.write(0, 256),
    maxStates: 1000,
    async run(guest) {
      await guest.discard(0, 64);
      await guest.write(300, 40);
      await guest.flush();
      await guest.write(400, 40);
      await guest.discard(128, 64);
      await guest.write(130, 2);
      await guest.flush();
      await guest.write(500, 40);
      await guest.flush();
      await scattered(guest, 600, 8, 8);
    },
  },
  {
    name: 'discarding and writing at the same time, again and again',
    image: { ...tiny, size: 256 * kib },
    before: (guest) => guest.write(0, 100),
    open: tinyCaches,
    maxStates: 1000,
    async run(guest) {
      for (let i = 0; i < 4; i++) {
        await Promise.all([guest.discard(i * 20, 20), guest.write(120 + i * 30, 25), guest.flush()]);
        await guest.write(i * 20 + 3, 5);
      }
      await guest.flush();
    },
  },
  {
    name: 'zeros with and without giving the space back',
    image: { ...medium, size: 512 * kib },
    before: (guest) => guest.write(0, 200),
    maxStates: 800,
    async run(guest) {
      await guest.writeZeroes(0, 40, true);
      await guest.writeZeroes(45, 30, true);
      await guest.flush();
      await guest.writeZeroes(83, 40, false);
      await guest.write(300, 50);
      await Promise.all([guest.writeZeroes(310, 20, true), guest.writeZeroes(800, 32, false)]);
      await guest.flush();
      await guest.write(0, 20);
      await guest.flush();
    },
  },
  {
    name: 'compressed writes, overwritten and discarded',
    image: { ...medium, size: 512 * kib },
    maxStates: 1000,
    async run(guest) {
      for (let i = 0; i < 6; i++) await guest.writeCompressed(i * 8, 8);
      await guest.flush();
      await guest.write(8, 3);
      await guest.discard(16, 8);
      await Promise.all([guest.writeCompressed(64, 8), guest.writeCompressed(80, 8), guest.flush()]);
      await guest.writeZeroes(0, 8, true);
      await guest.flush();
      await guest.writeCompressed(96, 8);
      await guest.write(64, 16);
      await guest.flush();
      await guest.write(200, 24);
    },
  },
  {
    name: 'growing, with a longer L1 table',
    image: { ...tiny, size: 64 * kib },
    before: (guest) => guest.write(0, 60),
    maxStates: 800,
    async run(guest) {
      await guest.write(64, 3);
      await guest.resize(256);
      await guest.write(200, 4);
      await guest.flush();
      await guest.resize(20_000);
      await guest.write(19_000, 4);
      await Promise.all([guest.resize(40_000), guest.write(300, 5), guest.write(1, 2)]);
      await guest.flush();
    },
  },
  {
    name: 'growing, with an L1 table that takes refcount blocks of its own',
    image: { ...tiny, size: 64 * kib },
    before: (guest) => guest.write(0, 60),
    maxStates: 150,
    async run(guest) {
      await guest.write(64, 3);
      await guest.resize(300_000);
      await Promise.all([guest.write(299_000, 4), guest.write(1, 2)]);
      await guest.flush();
    },
  },
  {
    name: 'shrinking and growing again',
    image: { ...tiny, size: 256 * kib },
    before: (guest) => guest.write(0, 400),
    maxStates: 800,
    async run(guest) {
      await guest.write(10, 5);
      await guest.resize(200);
      await guest.write(100, 5);
      await guest.resize(65);
      await guest.resize(300);
      await guest.write(250, 20);
      await guest.flush();
    },
  },
  {
    name: 'tiny caches',
    image: { ...tiny, size: 1024 * kib },
    open: tinyCaches,
    before: (guest) => guest.write(500, 200),
    maxStates: 1000,
    async run(guest) {
      await scattered(guest, 0, 12, 150);
      await scattered(guest, 1, 12, 150);
      await guest.flush();
      await Promise.all([scattered(guest, 2, 12, 131), guest.discard(500, 64), guest.flush()]);
      await guest.write(40, 150);
    },
  },
  {
    name: 'clusters shared with a snapshot',
    exhaustive: true,
    image: { ...medium, size: 512 * kib },
    before: (guest) => guest.write(0, 160),
    edit: withSnapshot,
    maxStates: 2000,
    async run(guest) {
      await guest.write(3, 2);
      await guest.flush();
      await Promise.all([guest.write(20, 8), guest.write(41, 2), guest.discard(80, 16)]);
      await guest.write(3, 10);
      await guest.flush();
      await guest.writeZeroes(96, 24, false);
      await guest.write(97, 2);
      await guest.writeZeroes(128, 16, true);
      await guest.flush();
      await guest.write(500, 30);
    },
  },
  {
    name: 'several L2 tables shared with a snapshot',
    image: { cluster_size: 512, size: 256 * kib },
    before: (guest) => guest.write(30, 120),
    edit: withSnapshot,
    open: tinyCaches,
    maxStates: 800,
    async run(guest) {
      await scattered(guest, 31, 6, 20);
      await guest.flush();
      await guest.discard(40, 70);
      await guest.write(10, 60);
      await guest.resize(100);
      await guest.write(90, 5);
      await guest.flush();
    },
  },
  {
    name: 'lazy refcounts',
    image: { ...tiny, size: 256 * kib, lazy_refcounts: true },
    before: (guest) => guest.write(0, 40),
    lazy: true,
    maxStates: 700,
    async run(guest) {
      await guest.write(40, 6);
      await guest.write(200, 3);
      await guest.flush();
      await guest.discard(0, 20);
      await guest.write(2, 8);
      await guest.flush();
      await guest.write(300, 90);
      await guest.flush();
      await guest.write(30, 4);
    },
  },
  {
    name: 'lazy refcounts with tiny caches and a snapshot',
    image: { cluster_size: 512, size: 256 * kib, lazy_refcounts: true },
    before: (guest) => guest.write(30, 100),
    edit: withSnapshot,
    open: tinyCaches,
    lazy: true,
    maxStates: 500,
    async run(guest) {
      await Promise.all([scattered(guest, 0, 12, 33), guest.flush()]);
      await guest.discard(30, 30);
      await guest.flush();
      await guest.write(200, 40);
      await guest.flush();
    },
  },
  {
    name: 'version 2',
    exhaustive: true,
    image: { ...medium, compat: '0.10', size: 256 * kib },
    before: (guest) => guest.write(0, 64),
    maxStates: 2000,
    async run(guest) {
      await guest.write(100, 10);
      await guest.discard(0, 32);
      await guest.flush();
      await guest.writeZeroes(32, 24, true);
      await guest.write(200, 30);
      await guest.flush();
    },
  },
];

const randomImages: {
  image: Scenario['image'];
  open?: Scenario['open'];
  snapshot?: boolean;
  lazy?: boolean;
}[] = [
  { image: { ...tiny, size: 128 * kib } },
  { image: { ...tiny, size: 256 * kib }, open: tinyCaches },
  { image: { ...medium, size: 512 * kib } },
  { image: { ...medium, size: 512 * kib }, snapshot: true },
  { image: { cluster_size: 512, size: 128 * kib }, snapshot: true, open: tinyCaches },
  { image: { cluster_size: 1024, refcount_bits: 1, size: 128 * kib } },
  { image: { ...tiny, size: 128 * kib, lazy_refcounts: true }, lazy: true },
];

const randomCases: Case[] = Array.from({ length: 35 }, (_, index) => {
  const { image, open, snapshot, lazy } = randomImages[index % randomImages.length]!; // within
  const random = new Prng(index, 7);
  const options = { perCluster: Number(image.cluster_size) / sectorBytes, resizes: index % 2 === 1 };
  const fault = {
    errno: 'EIO',
    when: ({ type }: IoOperation) => type !== 'open' && random.below(25) === 0,
  } as const;
  return {
    name: `random requests, ${index + 1}`,
    image,
    ...(open && { open }),
    ...(lazy && { lazy }),
    ...(index % 3 === 2 && { fault }),
    maxStates: lazy ? 60 : 200,
    before: (guest) => randomRun(guest, random, options),
    ...(snapshot && { edit: withSnapshot }),
    run: (guest) => randomRun(guest, random, options),
  };
});

let states = 0;

describe('a crash leaves a qcow2 image consistent, with what was flushed:', () => {
  for (const [index, { name, maxStates, lazy, exhaustive, ...scenario }] of [
    ...cases,
    ...randomCases,
  ].entries()) {
    test(name, async () => {
      const seed = index + 1;
      const recording = await record(seed, scenario);
      const result = await explore(recording, { seed, maxStates, ...(lazy ? { lazy } : {}) });
      states += result.states;
      expect(result.failures).toEqual([]);
      expect(result.states).toBeGreaterThan(10);
      if (exhaustive) expect(result.exhaustiveCuts).toBe(result.cuts);
    });
  }

  test('in at least 10 000 states altogether', () => {
    expect(states).toBeGreaterThanOrEqual(10_000);
  });
});

describe('the same search finds', () => {
  const [allocating] = cases as [Case];

  /** The failures when the journal of one allocating write is changed. */
  async function failuresOf(edit: (entries: JournalEntry[]) => JournalEntry[]): Promise<string> {
    const recording = await record(1, allocating);
    const journal = new Journal(recording.journal.base);
    const entries = edit(recording.journal.entries);
    // The moments of the guest's requests are numbers of entries.
    expect(entries).toHaveLength(recording.journal.entries.length);
    for (const entry of entries) journal.add(entry);
    const result = await explore({ ...recording, journal }, { seed: 1, maxStates: 1000 });
    return result.failures.join('\n');
  }

  test('nothing in a journal as it was recorded', async () => {
    expect(await failuresOf((entries) => entries)).toBe('');
  });

  test('tables that are written in the wrong order', async () => {
    // Refcounts go first and the L1 table last; the other way round, references come before counts.
    const failures = await failuresOf((entries) => {
      const flushes = entries.flatMap(({ type }, index) => (type === 'flush-complete' ? [index] : []));
      const writes = entries.flatMap((entry, index) => (entry.type === 'issue' ? [index] : []));
      const firstFlush = flushes[0]!; // every write-back has flushes
      const counts = writes.findLast((index) => index < firstFlush)!; // before the first of them
      const reference = writes.at(-1)!; // there are writes after it, too
      const swapped = [...entries];
      swapped[counts] = withChangeOf(entries[counts]!, entries[reference]!); // indexes of entries
      swapped[reference] = withChangeOf(entries[reference]!, entries[counts]!); // as above
      return swapped;
    });
    expect(failures).toMatch(/ERROR cluster \d+ refcount=0 reference=1/);
  });

  test('a disk that ignores flushes', async () => {
    const failures = await failuresOf((entries) =>
      entries.map((entry) => (entry.type === 'flush-complete' ? { type: 'fail', id: 0 } : entry)),
    );
    expect(failures).toMatch(/corruptions|instead of/);
  });

  test('data that is not what the guest wrote', async () => {
    const failures = await failuresOf((entries) =>
      entries.map((entry) => {
        if (entry.type !== 'issue' || entry.change.type !== 'write') return entry;
        const isData = entry.change.data.every((byte, at) => byte === (at % 4 === 0 ? 1 : 0));
        if (!isData) return entry;
        return { ...entry, change: { ...entry.change, data: new Uint8Array(sectorBytes).fill(9) } };
      }),
    );
    expect(failures).toContain('sector 3 has');
  });
});

function withChangeOf(entry: JournalEntry, other: JournalEntry): JournalEntry {
  if (entry.type !== 'issue' || other.type !== 'issue') throw new Error('not a change');
  return { ...entry, change: other.change };
}
