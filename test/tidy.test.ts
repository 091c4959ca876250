/**
 * The lint that no tool offers: the rules of the architecture, checked on the source text.
 *
 * Imports point down the layers and never sideways between formats, filters and protocols; the world outside is
 * reached only from the places that may; every file opens with what it is; no file outgrows its concept; nothing is
 * dead; nothing is left unfinished.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const maxLines = 500;

/** Lowest first. A folder may import itself and everything below; equals may not import each other. */
const layers: readonly (readonly string[])[] = [
  ['base'],
  ['platform'],
  ['qapi'],
  ['core'],
  ['block'],
  ['throttle'],
  ['formats', 'filters', 'protocols'],
  ['drivers'],
  ['drivers-browser'],
  ['bitmaps'],
  ['jobs'],
  ['objects'],
  ['machine'],
  ['qmp'],
  ['emulator'],
  ['browser'],
  ['index'],
  ['web', 'cli'],
];

interface Source {
  /** Relative to the repository. */
  path: string;
  text: string;
  imports: string[];
}

function sources(folder: string, extension = /\.(ts|mjs)$/): Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => extension.test(name) && !name.endsWith('.d.ts'))
    .map((name) => {
      const path = join(folder, name);
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, imports: importsOf(path, text) };
    });
}

function importsOf(path: string, text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, target]) =>
    target!.startsWith('.') ? normalize(join(dirname(path), target!)) : target!,
  );
}

function layerOf(path: string): { level: number; name: string } | undefined {
  const [top, next] = relative('host', path).split('/');
  const name = next === undefined ? top!.replace(/\.ts$/, '') : top!;
  const level = layers.findIndex((names) => names.includes(name));
  return level < 0 ? undefined : { level, name };
}

const host = sources('host').filter(({ path }) => !path.startsWith('host/build/'));
const assembly = sources('assembly');
const tests = [...sources('test'), ...sources('bench')];

describe('the source tree', () => {
  test('has every host file in a known layer', () => {
    expect(host.filter(({ path }) => !layerOf(path)).map(({ path }) => path)).toEqual([]);
  });

  test('imports only downwards', () => {
    const wrong: string[] = [];
    for (const { path, imports, text } of host) {
      const from = layerOf(path);
      for (const target of imports.filter((name) => name.startsWith('host/'))) {
        const to = layerOf(target);
        if (!from || !to || from.name === to.name || to.level < from.level) continue;
        if (isTypeOnly(text, target)) continue;
        wrong.push(`${path} → ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('names node: modules only in platform/node and cli', () => {
    const allowed = /^host\/(platform\/node|cli)\//;
    const wrong = host.filter(
      ({ path, imports }) => !allowed.test(path) && imports.some((name) => name.startsWith('node:')),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('takes time and chance from the platform only', () => {
    const banned =
      /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate)\b/;
    const allowed = /^host\/(platform\/(node|browser)|cli|web)\//;
    const wrong = host.filter(({ path, text }) => !allowed.test(path) && banned.test(withoutComments(text)));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('names WebAssembly only in core', () => {
    const wrong = host.filter(
      ({ path, text }) => !path.startsWith('host/core/') && /\bWebAssembly\b/.test(withoutComments(text)),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('keeps formats, filters and protocols apart', () => {
    const driver = /^host\/(formats|filters|protocols)\//;
    const wrong: string[] = [];
    for (const { path, imports } of host) {
      const own = driver.exec(path)?.[0];
      if (!own) continue;
      for (const target of imports) {
        const other = driver.exec(target)?.[0];
        if (other !== undefined && other !== own) wrong.push(`${path} → ${target}`);
      }
    }
    expect(wrong).toEqual([]);
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
      'host/cli/main.ts',
      'host/index.ts',
      'host/browser/index.ts',
      'host/browser/worker.ts',
      'assembly/index.ts',
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

/** Types cost nothing at run time: a lower layer may name the type of a higher one's object it is handed. */
function isTypeOnly(text: string, target: string): boolean {
  const file = target.split('/').at(-1)!;
  const statements = text.match(/import[^;]*?from '[^']+'/g) ?? [];
  return statements
    .filter((statement) => statement.includes(file))
    .every((statement) => statement.startsWith('import type'));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*/g, '');
}
