/**
 * What holds for every node, whatever its driver: the same bodies over every entry of the registry, on storage that
 * answers at once, on storage that answers late and in any order, and on storage that fails.
 */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../host/platform/sim/prng.ts';
import {
  checkAgainstModel,
  checkBounds,
  checkExtents,
  checkFailing,
  checkReopening,
  checkZeroes,
} from './checks.ts';
import { allDrivers, makeGraph, open, simulate, stacks, withStack } from './stacks.ts';

const storages = {
  'immediate storage': { latency: 'instant' },
  'slow storage': { latency: { minNs: 1_000, maxNs: 5_000_000 } },
} as const;

test('every driver of the registry is here', () => {
  expect(Object.keys(stacks).sort()).toEqual(allDrivers.map(({ name }) => name).sort());
});

for (const [name, stack] of Object.entries(stacks)) {
  for (const [storage, options] of Object.entries(storages)) {
    describe(`${name} on ${storage}`, () => {
      if (stack.stores && !stack.writable)
        test('gives back what was written, with many requests at once', async () => {
          for (let seed = 1; seed <= 8; seed++) {
            await withStack(simulate(seed, options), stack, (disk) =>
              checkAgainstModel(disk, new Prng(seed)),
            );
          }
        });

      test('is as long as it says, and refuses what lies beyond', async () => {
        await withStack(simulate(1, options), stack, checkBounds);
      });

      if (!stack.writable)
        test('reads zeros after write-zeroes and keeps what is beside', async () => {
          await withStack(simulate(2, options), stack, (disk) => checkZeroes(disk, stack));
        });

      test('describes all of itself in extents that fit together', async () => {
        await withStack(simulate(3, options), stack, (disk) => checkExtents(disk, stack));
      });

      if (stack.stores && stack.writable !== 'never' && name !== 'memory')
        test('holds what was flushed when it is opened again', async () => {
          const simulation = simulate(4, options);
          await simulation.run(async () => {
            const graph = makeGraph(simulation);
            await stack.prepare?.(graph);
            await checkReopening(() => open(graph, stack));
          });
        });
    });
  }

  if (stack.writable || stack.endsOnFailure) continue;
  describe(`${name} on failing storage`, () => {
    test('fails requests with an error, never hangs, and works again when the fault is gone', async () => {
      for (let seed = 1; seed <= 20; seed++) {
        const simulation = simulate(seed, { latency: { minNs: 1_000, maxNs: 1_000_000 } });
        await withStack(simulation, stack, async (disk) => {
          const random = new Prng(seed);
          await checkFailing(disk, stack, random, () =>
            simulation.fail({
              errno: seed % 2 === 0 ? 'EIO' : 'ENOSPC',
              after: random.below(6),
              times: 1 + random.below(8),
            }),
          );
        });
      }
    });
  });
}
