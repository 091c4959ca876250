/** Each script of scripts.ts, line by line: ours and the real tools do the same. */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { haveQemu } from '../../support/tools.ts';
import { compareLine, type Progress, startScript } from './script.ts';
import { scripts } from './scripts.ts';

describe.skipIf(!haveQemu).each(scripts)('$name', ({ lines }) => {
  let progress: Progress;
  beforeAll(() => {
    progress = startScript();
  });
  afterAll(() => progress?.folders.remove());

  test.each(lines)('%s', (line) => compareLine(progress, line));
});
