/**
 * Generated command lines of `img`, by the tables of its options: the real tool and ours answer alike and leave the same files. LINES
 * sets how many, LINES_SEED the first of their seeds.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { words } from '../../support/cli.ts';
import { bothHere } from '../../support/own-tools.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';
import { compared, isEndless, isKnown } from './differences.ts';
import { kept } from './kept-lines.ts';
import { randomLine } from './random-line.ts';
import { Scene } from './scene.ts';
import { withoutDates } from './script.ts';

const count = Number(process.env['LINES'] ?? 60);
const firstSeed = Number(process.env['LINES_SEED'] ?? 1);

describe.skipIf(!haveQemu)('the real img and ours do the same', () => {
  const scenes: Scene[] = [];
  /** Of no line: one that does not come to its end in time keeps its own. */
  const free: Scene[] = [];

  async function openScene(): Promise<Scene> {
    const scene = new Scene();
    scenes.push(scene);
    await scene.lock();
    return scene;
  }

  beforeAll(async () => void free.push(await openScene()));
  afterAll(() => Promise.all(scenes.map((scene) => scene.remove())));

  async function check(args: readonly string[]): Promise<void> {
    const line = args.join(' ');
    const scene = free.pop() ?? (await openScene());
    try {
      const { ours, theirs } = await bothHere(scene.folders, 'qemu-img', [...args]);
      const answers = { line, ours: withoutDates(ours), theirs: withoutDates(theirs) };
      const seen = compared(answers);
      expect(seen.ours, line).toEqual(seen.theirs);
      const differing = isEndless(answers) ? [] : await scene.files.find();
      expect(
        differing.filter((one) => !isKnown(answers, one)),
        line,
      ).toEqual([]);
    } finally {
      scene.restore();
      free.push(scene);
    }
  }

  test.each(kept)('%s', (line) => check(words(line)));

  testSeeds({ first: firstSeed, count, batch: 20 }, (seed) => check(randomLine(seed)));
});
