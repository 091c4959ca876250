/** Source files: each opens with what it is; none outgrows its concept, is dead, or is left unfinished. */
import { describe, expect, test } from 'vitest';
import { assembly, host, tests, topLevel } from './sources.ts';

const maxLines = 500;

/** Everything else belongs into a folder, or was left behind. */
const atTheTop =
  /^(assembly|host|test|bench|package(-lock)?\.json|[A-Z]+(\.md)?|(asconfig|tsconfig|biome)\.json|vitest\.config\.ts)$/;

describe('the source files', () => {
  test('has nothing at the top that does not belong there', () => {
    expect(topLevel().filter((name) => !atTheTop.test(name))).toEqual([]);
  });

  test('opens every file with what it is', () => {
    const wrong = [...host, ...assembly].filter(({ text }) => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(text));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test(`has no file over ${maxLines} lines`, () => {
    const long = [...host, ...assembly].filter(({ text }) => text.split('\n').length - 1 > maxLines);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  test('has no dead files', () => {
    const entries = [
      'host/web/app.ts',
      'host/web/service-worker.ts',
      'host/cli/main.ts',
      'host/cli/start/launcher.ts',
      'host/cli/manual/pages.ts',
      'host/index.ts',
      'host/library/index.ts',
      'host/library/worker.ts',
      'assembly/index.ts',
      'assembly/qcow2/index.ts',
      'assembly/qcow2/check-index.ts',
    ];
    const all = new Map([...host, ...assembly].map((source) => [source.path, source]));
    const reached = new Set<string>();
    const visit = (path: string): void => {
      const file = all.get(path) ?? all.get(`${path}.ts`);
      if (!file || reached.has(file.path)) return;
      reached.add(file.path);
      file.imports.forEach(visit);
    };
    entries.forEach(visit);
    // The simulator is a platform like the others, for tests.
    const dead = [...all.keys()].filter(
      (path) => !reached.has(path) && !path.startsWith('host/platform/sim/'),
    );
    expect(dead).toEqual([]);
  });

  test('leaves nothing unfinished', () => {
    // Put together here so that this file does not find itself.
    const marks = new RegExp(
      `\\b(${['TO', 'FIX', 'XX'].map((m, i) => m + ['DO', 'ME', 'X'][i]).join('|')})\\b`,
    );
    const skipping = new RegExp('\\.(on' + 'ly|to' + 'do)\\(');
    const wrong = [...host, ...assembly, ...tests].filter(
      ({ text }) => marks.test(text) || skipping.test(text),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});
