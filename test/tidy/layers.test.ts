/**
 * The layers of host/: imports point down and never sideways between formats, filters and protocols; the world outside is
 * reached only from the places that may.
 */
import { relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { host, withoutComments } from './sources.ts';

/** Lowest first. A folder may import itself and everything below; equals may not import each other. */
const layers: readonly (readonly string[])[] = [
  ['base'],
  ['platform'],
  ['trace'],
  ['qapi'],
  ['nbd', 'http', 'crypto'],
  ['core'],
  ['block'],
  ['throttle'],
  ['copy'],
  ['store'],
  ['formats', 'filters', 'protocols'],
  ['drivers'],
  ['drivers-browser'],
  ['bitmaps'],
  ['graph'],
  ['exports'],
  ['jobs'],
  ['objects'],
  ['machine'],
  ['qmp'],
  ['emulator'],
  ['library'],
  ['index'],
  ['web', 'cli'],
];

function layerOf(path: string): { level: number; name: string } | undefined {
  const [top, next] = relative('host', path).split('/');
  const name = next === undefined ? top!.replace(/\.ts$/, '') : top!;
  const level = layers.findIndex((names) => names.includes(name));
  return level < 0 ? undefined : { level, name };
}

describe('the layers of host/', () => {
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
});

/** Types cost nothing at run time: a lower layer may name the type of a higher one's object it is handed. */
function isTypeOnly(text: string, target: string): boolean {
  const file = target.split('/').at(-1)!;
  const statements = text.match(/import[^;]*?from '[^']+'/g) ?? [];
  return statements
    .filter((statement) => statement.includes(file))
    .every((statement) => statement.startsWith('import type'));
}
