/**
 * Incremental backup chains, by seeded histories: restoring any backup of any chain gives exactly the bytes of its
 * instant, whatever failed, was cancelled, stopped or killed in between. HISTORIES sets how many.
 */
import { expect, test } from 'vitest';
import { readImage } from '../../support/read-image.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { Lives } from '../lives.ts';
import { History } from './history.ts';
import { sameBytes } from './machine.ts';

const histories = Number(process.env['HISTORIES'] ?? 150);
const firstSeed = Number(process.env['HISTORIES_SEED'] ?? 1);
/** What happens once in twenty histories may not happen in fewer than so many. */
const enoughToJudge = 100;

/** The longest that a process lives after it may be killed, in virtual time. */
const longestLifeNs = 20_000_000;
const maxKills = 3;

const total = { backups: 0, incrementals: 0, failures: 0, kills: 0, survivals: 0 };

async function simulate(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const lives = new Lives(seed, { minNs: 1000, maxNs: 40_000 });
  const history = new History(random);
  await lives.live((simulation, life) => {
    const mayKill = (): void => {
      if (life >= maxKills || random.oneIn(4)) return;
      simulation.platform.clock.setTimer(random.below(longestLifeNs), () => simulation.crash());
    };
    const failWrites = (path: string, after: number): (() => void) =>
      simulation.fail({ errno: 'ENOSPC', type: 'write', path, after });
    return history.live({ platform: simulation.platform, failWrites, mayKill });
  });
  const { outcome } = history;
  const wrong: string[] = [];
  await lives.lookAt(async (platform) => {
    for (const { path, content } of outcome.backups) {
      if (!sameBytes(await readImage(platform, path, content.length), content)) wrong.push(path);
    }
  });
  expect(wrong).toEqual([]);
  total.backups += outcome.backups.length;
  for (const key of ['incrementals', 'failures', 'kills', 'survivals'] as const) total[key] += outcome[key];
}

testSeeds({ first: firstSeed, count: histories, batch: 50 }, simulate);

if (histories >= enoughToJudge)
  test('the histories had everything in them', () => {
    expect(total.backups).toBeGreaterThan(histories);
    expect(total.incrementals).toBeGreaterThan(histories);
    expect(total.failures).toBeGreaterThan(histories / 2);
    expect(total.kills).toBeGreaterThan(histories / 10);
    // A backup that ran when the process was killed ends its chain.
    expect(total.survivals).toBeGreaterThan(histories / 20);
  });
