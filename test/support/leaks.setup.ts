/** Fails each test that leaves something open (leaks.ts), and each test file that leaves temporary files. */
import { afterAll, beforeEach, expect } from 'vitest';
import { leakWatch, type OpenThings } from './leaks.ts';

const atFirst = leakWatch.look();
let before: OpenThings = atFirst;

beforeEach(({ onTestFinished }) => {
  before = leakWatch.begin();
  // The first of them runs last: after all that the test file wants to be done after a test.
  onTestFinished(async () => {
    if (leakWatch.isAfterEachTest) expect(await leakWatch.leakedSince(before), 'left open').toEqual([]);
  });
});

// As the first of its kind it also comes last.
afterAll(async () => {
  const open = await leakWatch.leakedInTheEnd(atFirst);
  const files = leakWatch.close();
  expect([...open, ...files], 'left behind').toEqual([]);
});
