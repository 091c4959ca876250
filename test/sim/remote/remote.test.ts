/**
 * Guests over NBD: jobs × sizes of buffer and spill file × slow and failing targets, local and over NBD × connections that break ×
 * deaths of the daemon, the guests and the store. What holds whatever happens: story.ts. REMOTE sets how many seeds, REMOTE_SEED the
 * first.
 */
import { expect, test } from 'vitest';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { World } from './machines.ts';
import { planOf } from './plan.ts';
import { Story } from './story.ts';

const seeds = Number(process.env['REMOTE'] ?? 1000);
const firstSeed = Number(process.env['REMOTE_SEED'] ?? 1);
/** What happens once in twenty seeds may not happen in fewer than so many. */
const enoughToJudge = 200;

const total: Record<string, number> = {};

function count(what: string, by = 1): void {
  total[what] = (total[what] ?? 0) + by;
}

async function simulate(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const plan = planOf(random);
  const world = new World(seed, random);
  try {
    await world.simulation.run(() => new Story(world, plan, count).tell());
  } catch (error) {
    throw new Error(JSON.stringify(plan), { cause: error });
  } finally {
    // Nothing of it goes on.
    world.simulation.crash();
  }
}

testSeeds({ first: firstSeed, count: seeds, batch: 100 }, simulate);

if (seeds >= enoughToJudge)
  test('everything happened often enough to mean something', () => {
    if (process.env['REMOTE_SHOW']) console.log(total);
    const copies = ['full', 'top', 'bitmap', 'mirror', 'blocking mirror'].map(
      (work) => `complete at daemon: ${work}`,
    );
    const ends = ['guests killed', 'jobs lost', 'shut down', 'cuts', 'target faults', 'disk faults'];
    const kills = ['daemon', 'store'].flatMap((name) => [`${name} killed: program`, `${name} killed: power`]);
    for (const what of [
      ...copies,
      'complete at guests: full',
      'drained',
      'bitmaps',
      'stored',
      ...ends,
      ...kills,
    ]) {
      expect(total[what] ?? 0, what).toBeGreaterThan(0);
    }
    for (const what of ['requests', 'reads of a view']) expect(total[what], what).toBeGreaterThan(seeds);
  });
