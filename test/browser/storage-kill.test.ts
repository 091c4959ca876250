/**
 * Chromium is killed with all its processes while it writes to an overlay in its private file system. Afterwards the
 * overlay is without corruption, and everything is there that was acknowledged by a flush.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../host/platform/sim/prng.ts';
import { haveChromium } from '../support/chromium.ts';
import { startKillable } from '../support/killable-chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { bundleWorker, load, pageText, run } from '../support/storage-page.ts';
import type { Verified } from './pages/crash-rounds.ts';

/** More make the test longer, and nothing else: each takes a second or two. */
const kills = 20;

const scratch = scratchDirectory();
const server = new PageServer();
let origin: string;

beforeAll(async () => {
  if (!haveChromium) return;
  const worker = await bundleWorker();
  server.find = (path) => ({ '/storage.html': pageText, '/storage-worker.js': worker })[path];
  origin = await server.start();
});

afterAll(() => server.stop());

describe.skipIf(!haveChromium)('an overlay in a browser that is killed', () => {
  test(`is whole, and holds what was flushed, after each of ${kills} kills`, {
    timeout: 300_000,
  }, async () => {
    const random = new Prng(7);
    let last = 0;
    for (let kill = 0; kill <= kills; kill++) {
      const browser = await startKillable(scratch('profile'));
      try {
        const page = await load(await browser.newPage(), origin);
        if (kill === 0) await run(page, 'crashDisk');
        const verified = await run<Verified>(page, 'verifyRounds', { round: last });
        expect({ kill, ...verified }).toMatchObject({ kill, corruptions: 0, checkErrors: 0, wrong: [] });
        if (kill === kills) break;
        // After some acknowledgement, in the middle of whatever follows it.
        const enough = 1 + random.below(60);
        const first = last + 1;
        let reach: () => void;
        const reached = new Promise<void>((resolve) => {
          reach = resolve;
        });
        await page.exposeFunction('acknowledged', (round: number) => {
          last = round;
          if (round - first >= enough) reach();
        });
        const failed = run(page, 'writeRounds', { round: first }).then(
          () => undefined,
          (error: Error) => error.message,
        );
        const why = await Promise.race([reached, failed]);
        if (why !== undefined) throw new Error(why);
      } finally {
        await browser.kill();
      }
    }
    expect(last).toBeGreaterThan(kills);
  });
});
