/** Each script of scripts.ts, line by line: ours and the real tools do the same. */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { haveQemu } from '../../support/tools.ts';
import { compareLine, type Progress, startScript } from './script.ts';
import { scripts } from './scripts.ts';

describe.skipIf(!haveQemu).each(scripts)('$name', ({ lines }) => {
  const all: Progress[] = [];
  /** Absent while a line is at it: one that does not come to its end in time keeps its folders. */
  let progress: Progress | undefined;

  function start(before: readonly string[]): Progress {
    const started = startScript(before);
    all.push(started);
    return started;
  }

  beforeAll(() => {
    progress = start([]);
  });
  afterAll(() => {
    for (const { folders } of all) folders.remove();
  });

  test.each(lines.map((line, index) => [line, index] as const))('%s', async (line, index) => {
    const current = progress ?? start(lines.slice(0, index));
    progress = undefined;
    try {
      await compareLine(current, line);
    } finally {
      progress = current;
    }
  });
});
