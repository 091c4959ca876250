/**
 * Random graphs, guests, jobs, snapshots, commits, streams, cancels and faults against a model of what every disk must
 * contain. GRAPHS sets how many seeds, GRAPHS_SEED the first. Seeds that have failed are kept below.
 */
import { expect, test } from 'vitest';
import { readImage } from '../../support/read-image.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { Lives } from '../lives.ts';
import { GraphWorld, type State } from './world.ts';

const seeds = Number(process.env['GRAPHS'] ?? 300);
const firstSeed = Number(process.env['GRAPHS_SEED'] ?? 1);
/** What happens once in twenty seeds may not happen in fewer than so many. */
const enoughToJudge = 100;
const stepsPerSeed = 12;
const maxKills = 2;
const longestLifeNs = 30_000_000;

const total: Record<string, number> = { copies: 0, kills: 0 };

async function simulate(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const lives = new Lives(seed, { minNs: 1000, maxNs: 60_000 });
  const state: State = { disks: [], tops: [], copies: [], files: 0, done: {}, pivots: [] };
  let steps = 0;
  const kills = await lives.live(async (simulation, life) => {
    const world = new GraphWorld(simulation, random, state);
    await world.open(life > 0);
    if (life < maxKills && random.oneIn(3)) {
      simulation.platform.clock.setTimer(random.below(longestLifeNs), () => simulation.crash());
    }
    world.startGuests();
    for (; steps < stepsPerSeed; steps++) await world.step();
    await world.close();
  });
  await lives.lookAt(async (platform) => {
    for (const { path, content, kind } of state.copies) {
      const found = await readImage(platform, path, content.length);
      if (Buffer.compare(found, content) !== 0)
        throw new Error(`${path}, made by a ${kind}, is not what its disk was`);
    }
  });
  total['kills']! += kills;
  total['copies']! += state.copies.length;
  for (const [what, count] of Object.entries(state.done)) total[what] = (total[what] ?? 0) + count;
}

testSeeds({ first: firstSeed, count: seeds, batch: 100 }, simulate);

if (seeds >= enoughToJudge)
  test('everything happened often enough to mean something', () => {
    if (process.env['GRAPHS_SHOW']) console.log(total);
    for (const what of ['snapshot', 'internal', 'backup', 'fault', 'rest', 'copies', 'kills']) {
      expect(total[what], what).toBeGreaterThan(seeds / 20);
    }
  });
