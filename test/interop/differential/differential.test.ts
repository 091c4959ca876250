/**
 * Random stacks of nodes, in every dialect, under random commands of qemu-io and qemu-img: the real tools and ours must
 * answer alike and leave the same data. CASES sets how many, CASE_SEED the first of their seeds.
 */
import { expect, describe as suite, test } from 'vitest';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';
import { type Case, randomCase } from './case.ts';
import { kept } from './kept.ts';
import { describe, findDifference } from './run.ts';
import { shrink } from './shrink.ts';

const count = Number(process.env['CASES'] ?? 300);
const firstSeed = Number(process.env['CASE_SEED'] ?? 1);

async function check(testCase: Case, name: string): Promise<void> {
  const difference = await findDifference(testCase);
  if (difference === undefined) return;
  const small = await shrink(testCase, async (candidate) => (await findDifference(candidate)) !== undefined);
  const { recipes, steps } = small;
  const made = recipes.map(({ image, create, fill }) => {
    const commands = fill.map((command) => ` -c '${command}'`).join('');
    return `${create ? `qemu-img create ${create.join(' ')}` : `truncate -s ${image.bytes} ${image.name}`}; ${commands}`;
  });
  expect.fail(
    [name, ...made, ...steps.map(describe), await findDifference(small), JSON.stringify(small)].join('\n'),
  );
}

suite.skipIf(!haveQemu)('the real tools and ours do the same', () => {
  test.each(kept)('$name', (testCase) => check(testCase, testCase.name));

  testSeeds({ first: firstSeed, count, batch: 50 }, (seed) => check(randomCase(seed), `seed ${seed}`));
});
