/**
 * Atomicity under load: two backups of one transaction show one instant, whatever the storage's delays, the formats and
 * the options are, and two backups that were started one by one do not (which shows that the proof can fail).
 */
import { describe, expect, it } from 'vitest';
import { createSimulation } from '../../host/platform/sim/index.ts';
import {
  type BackupOutcome,
  type BackupPlan,
  backUpUnderLoad,
  choosePlan,
} from '../support/linked-backup.ts';
import { Seeded } from '../support/seeded.ts';

const runs = 200;
const batch = 20;
const recordAreaBytes = 256 << 10;

interface Run extends BackupOutcome {
  plan: BackupPlan;
}

async function simulate(seed: number, start: BackupPlan['start']): Promise<Run> {
  const random = new Seeded(seed);
  const plan = choosePlan(random, recordAreaBytes, start);
  const minNs = random.pick([1_000, 10_000, 50_000]);
  const simulation = createSimulation(seed, {
    latency: { minNs, maxNs: minNs + random.pick([10_000, 100_000, 1_000_000]) },
    record: false,
    fallocate: !random.oneIn(4),
  });
  try {
    return { plan, ...(await simulation.run(() => backUpUnderLoad(simulation.platform, '/', plan, random))) };
  } catch (error) {
    throw new Error(`seed ${seed}, ${JSON.stringify(plan)}`, { cause: error });
  }
}

describe('backups of one transaction show one instant', () => {
  for (let first = 1; first <= runs; first += batch) {
    it(`with the seeds from ${first} to ${first + batch - 1}`, async () => {
      for (let seed = first; seed < first + batch; seed++) {
        const { plan, records, violations, written } = await simulate(seed, 'transaction');
        const what = `seed ${seed}, ${JSON.stringify(plan)}`;
        expect(violations, what).toEqual([]);
        expect(records[0], what).toBeGreaterThanOrEqual(written.before);
        // The record that was on its way when the answer came may be part of the instant.
        expect(records[0], what).toBeLessThanOrEqual(written.answered + 1);
        expect(written.end, what).toBeGreaterThan(written.answered);
      }
    });
  }
});

it('the proof catches backups that were not started together', async () => {
  let caught = 0;
  for (let seed = 1; seed <= batch; seed++) {
    if ((await simulate(seed, 'separately')).violations.length > 0) caught++;
  }
  expect(caught).toBeGreaterThan(0);
});
