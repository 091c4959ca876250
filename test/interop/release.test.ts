/** Says why nothing is compared with the real tools, where they are of another release. */
import { test } from 'vitest';
import { otherRelease } from '../support/tools.ts';

test('the real tools are of the release that ours behave like', ({ skip }) => {
  if (otherRelease !== undefined) skip(`${otherRelease}: what compares with it is skipped`);
});
