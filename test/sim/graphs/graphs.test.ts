/**
 * Random graphs, guests, jobs, snapshots, commits, streams, cancels and faults against a model of what every disk must
 * contain. GRAPHS sets how many seeds, GRAPHS_SEED the first. Seeds that have failed are kept below.
 */
import { expect, test } from 'vitest';
import {
  createSimulation,
  SimStorage,
  SimulatedCrash,
  type Simulation,
} from '../../../host/platform/sim/index.ts';
import { readImage } from '../../support/read-image.ts';
import { Seeded } from '../../support/seeded.ts';
import { GraphWorld, type State } from './world.ts';

const seeds = Number(process.env['GRAPHS'] ?? 1000);
const firstSeed = Number(process.env['GRAPHS_SEED'] ?? 1);
const batch = 100;
const stepsPerSeed = 12;
const maxKills = 2;
const longestLifeNs = 30_000_000;

const total: Record<string, number> = { copies: 0, kills: 0 };

async function simulate(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const storage = new SimStorage();
  const state: State = { disks: [], tops: [], copies: [], files: 0, done: {}, pivots: [] };
  const live = (life: number): Simulation =>
    createSimulation(seed * 100 + life, { storage, latency: { minNs: 1000, maxNs: 60_000 }, record: false });
  let steps = 0;
  for (let life = 0; ; life++) {
    const simulation = live(life);
    try {
      await simulation.run(async () => {
        const world = new GraphWorld(simulation, random, state);
        await world.open(life > 0);
        if (life < maxKills && random.oneIn(3)) {
          simulation.platform.clock.setTimer(random.below(longestLifeNs), () => simulation.crash());
        }
        world.startGuests();
        for (; steps < stepsPerSeed; steps++) await world.step();
        await world.close();
      });
      break;
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      total['kills']!++;
    }
  }
  const reader = live(maxKills + 1);
  await reader.run(async () => {
    for (const { path, content, kind } of state.copies) {
      const found = await readImage(reader.platform, path, content.length);
      if (Buffer.compare(found, content) !== 0)
        throw new Error(`${path}, made by a ${kind}, is not what its disk was`);
    }
  });
  total['copies']! += state.copies.length;
  for (const [what, count] of Object.entries(state.done)) total[what] = (total[what] ?? 0) + count;
}

for (let first = firstSeed; first < firstSeed + seeds; first += batch) {
  test(`seeds from ${first} to ${first + batch - 1}`, async () => {
    for (let seed = first; seed < Math.min(first + batch, firstSeed + seeds); seed++) {
      try {
        await simulate(seed);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  }, 600_000);
}

test('everything happened often enough to mean something', () => {
  if (process.env['GRAPHS_SHOW']) console.log(total);
  for (const what of ['snapshot', 'internal', 'backup', 'fault', 'rest', 'copies', 'kills']) {
    expect(total[what], what).toBeGreaterThan(seeds / 20);
  }
});
