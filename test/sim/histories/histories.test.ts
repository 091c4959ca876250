/**
 * Incremental backup chains, by seeded histories: restoring any backup of any chain gives exactly the bytes of its
 * instant, whatever failed, was cancelled, stopped or killed in between. HISTORIES sets how many.
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
import { History, type Outcome } from './history.ts';
import { sameBytes } from './machine.ts';

const histories = Number(process.env['HISTORIES'] ?? 500);
const firstSeed = Number(process.env['HISTORIES_SEED'] ?? 1);
const batch = 50;

/** The longest that a process lives after it may be killed, in virtual time. */
const longestLifeNs = 20_000_000;
const maxKills = 3;

async function simulate(seed: number): Promise<{ outcome: Outcome; wrong: string[] }> {
  const random = new Seeded(seed);
  const storage = new SimStorage();
  const live = (life: number): Simulation =>
    createSimulation(seed * 100 + life, {
      storage,
      latency: { minNs: 1000, maxNs: 40_000 },
      record: false,
    });
  const history = new History(random);
  for (let life = 0; ; life++) {
    const simulation = live(life);
    // A killed process leaves what it had written, and nothing of it goes on.
    const mayKill = (): void => {
      if (life >= maxKills || random.oneIn(4)) return;
      simulation.platform.clock.setTimer(random.below(longestLifeNs), () => simulation.crash());
    };
    const failWrites = (path: string, after: number): (() => void) =>
      simulation.fail({ errno: 'ENOSPC', type: 'write', path, after });
    try {
      await simulation.run(() => history.live({ platform: simulation.platform, failWrites, mayKill }));
      break;
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
    }
  }
  const reader = live(maxKills + 1);
  const wrong: string[] = [];
  await reader.run(async () => {
    for (const { path, content } of history.outcome.backups) {
      if (!sameBytes(await readImage(reader.platform, path, content.length), content)) wrong.push(path);
    }
  });
  return { outcome: history.outcome, wrong };
}

const total = { backups: 0, incrementals: 0, failures: 0, kills: 0, survivals: 0 };

for (let first = firstSeed; first < firstSeed + histories; first += batch) {
  test(`seeds from ${first} to ${first + batch - 1}`, async () => {
    for (let seed = first; seed < first + batch; seed++) {
      let result: Awaited<ReturnType<typeof simulate>>;
      try {
        result = await simulate(seed);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      expect(result.wrong, `seed ${seed}`).toEqual([]);
      total.backups += result.outcome.backups.length;
      for (const key of ['incrementals', 'failures', 'kills', 'survivals'] as const) {
        total[key] += result.outcome[key];
      }
    }
  }, 300_000);
}

test('the histories had everything in them', () => {
  expect(total.backups).toBeGreaterThan(histories);
  expect(total.incrementals).toBeGreaterThan(histories);
  expect(total.failures).toBeGreaterThan(histories / 2);
  expect(total.kills).toBeGreaterThan(histories / 10);
  // A backup that ran when the process was killed ends its chain.
  expect(total.survivals).toBeGreaterThan(histories / 20);
});
