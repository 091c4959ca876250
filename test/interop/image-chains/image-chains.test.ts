/**
 * Random chains of images, changed by our tools and by the real ones in turns. After every step each image reads as an
 * array of bytes does, its dirty bitmaps are those of a model, and the real check finds nothing wrong.
 *
 * CHAINS sets how many chains there are, CHAINS_SEED the seed of the first one.
 */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveQemu } from '../../support/tools.ts';
import { Chain } from './chain.ts';

const chains = Number(process.env['CHAINS'] ?? 4);
const firstSeed = Number(process.env['CHAINS_SEED'] ?? 1);
const steps = 20;

describe.skipIf(!haveQemu)('chains of images keep their contents', () => {
  const path = scratchDirectory();
  const before = process.cwd();
  beforeAll(() => process.chdir(path('.')));
  afterAll(() => process.chdir(before));

  test.each(Array.from({ length: chains }, (_, index) => firstSeed + index))(
    'seed %i',
    async (seed) => {
      const chain = new Chain(seed);
      try {
        for (let step = 0; step < steps; step++) {
          await chain.step();
          await chain.verify();
        }
      } catch (error) {
        throw new Error(`${chain.log.join('\n')}\n${(error as Error).message}`, { cause: error });
      }
    },
    60_000,
  );
});
