/** Tests of what is drawn from seeds: one for every batch, which tells the seed that it failed with. */
import { test } from 'vitest';

export interface SeedRange {
  first: number;
  count: number;
  /** How many seeds a test has. */
  batch: number;
}

/** To be called where tests are declared. */
export function testSeeds({ first, count, batch }: SeedRange, run: (seed: number) => Promise<void>): void {
  const end = first + count;
  for (let from = first; from < end; from += batch) {
    const next = Math.min(from + batch, end);
    test(`seeds from ${from} to ${next - 1}`, { timeout: 600_000 }, async () => {
      for (let seed = from; seed < next; seed++) {
        try {
          await run(seed);
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
      }
    });
  }
}
