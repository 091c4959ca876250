/**
 * What a file of host/ or assembly/ exports, another file imports: a test or a benchmark will do. The entries are imported
 * from outside of the repository, or by the host as WebAssembly.
 *
 * Imports are read by their form, not resolved: of a module that is imported whole, everything counts that the importing
 * file mentions.
 */
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assembly, host, type Source, tests } from './sources.ts';

const modules = ['assembly/index.ts', 'assembly/qcow2/index.ts', 'assembly/qcow2/check-index.ts'];
const entries = ['host/index.ts', 'host/library/index.ts', ...modules];

const declaration =
  /^export (?:abstract |async |const (?=enum))*(?:class|const|enum|function\*?|interface|let|type) (\w+)/gm;
/** After the first name of a declaration of several. */
const declaredBehind = /,\n {2}(\w+)(?:: [^={(\n]+)? = /g;
/** With `from`, it imports as well. */
const list = /^export (?:type )?\{([^}]*)\}/gm;
/** `import a, { b as c, type D } from`, `export { e } from`. */
const statement = /^(?:import|export) (?:type )?([\w\s{},*]*?) from '([^']+)';/gm;
/** After `await`, `() =>` or `typeof`, or with members behind. */
const wholeModule = /\bimport\(\s*'([^']+)',?\s*\)/g;

interface Names {
  /** As the file calls it that has the list. */
  inner: string;
  outer: string;
}

/** Of `a, type B, c as d`. */
function namesIn(items: string): Names[] {
  return items
    .split(',')
    .map((item) => item.trim().replace(/^type /, ''))
    .filter((item) => item !== '')
    .map((item) => item.split(/\s+as\s+/))
    .map(([inner, outer = inner]) => ({ inner: inner!, outer: outer! }));
}

/** Without comments that stand for themselves; `//` inside of a string stays. */
function codeOf({ text }: Source): string {
  return text.replace(/(?<=^|\s)\/\*[\s\S]*?\*\//g, '').replace(/(?<=^|\s)\/\/.*/g, '');
}

const sources = [...host, ...assembly, ...tests].map((source) => ({ ...source, code: codeOf(source) }));
type Code = (typeof sources)[number];
const byPath = new Map(sources.map((source) => [source.path, source]));

function fileOf(importer: Code, target: string): string | undefined {
  const path = normalize(join(dirname(importer.path), target));
  return target.startsWith('.') ? (byPath.get(path) ?? byPath.get(`${path}.ts`))?.path : undefined;
}

function exportsOf({ code }: Code): string[] {
  const declared = [...code.matchAll(declaration)].map(([, name]) => name!);
  const behind = (code.match(/^export (?:const|let) [^;]*/gm) ?? []).flatMap((text) =>
    [...text.matchAll(declaredBehind)].map(([, name]) => name!),
  );
  const listed = [...code.matchAll(list)].flatMap(([, items]) => namesIn(items!).map(({ outer }) => outer));
  return [...declared, ...behind, ...listed];
}

/** `path: name` of everything that a file imports. Of a whole module, that is what the file mentions. */
function importsOf(importer: Code): string[] {
  const used: string[] = [];
  const takeWhole = (path: string): void => {
    const mentioned = new Set(importer.code.match(/\w+/g));
    used.push(
      ...exportsOf(byPath.get(path)!)
        .filter((name) => mentioned.has(name))
        .map((name) => `${path}: ${name}`),
    );
  };
  for (const [, clause, target] of importer.code.matchAll(statement)) {
    const path = fileOf(importer, target!);
    if (path === undefined) continue;
    const items = /\{([^}]*)\}/.exec(clause!)?.[1] ?? '';
    used.push(...namesIn(items).map(({ inner }) => `${path}: ${inner}`));
    if (clause!.includes('* as ')) takeWhole(path);
  }
  for (const [, target] of importer.code.matchAll(wholeModule)) {
    const path = fileOf(importer, target!);
    if (path !== undefined) takeWhole(path);
  }
  return used;
}

describe('exports', () => {
  const own = sources.filter(({ path }) => /^(host|assembly)\//.test(path));

  test('are written in forms that this test reads', () => {
    const wrong = own.flatMap(({ path, code }) => {
      const read = [...code.matchAll(declaration), ...code.matchAll(list)].map(({ index }) => index);
      return [...code.matchAll(/^export\b.*/gm)]
        .filter(({ index }) => !read.includes(index))
        .map(([line]) => `${path}: ${line}`);
    });
    expect(wrong).toEqual([]);
  });

  test('have a user in another file', () => {
    const used = new Set(sources.flatMap(importsOf));
    const all = own
      .filter(({ path }) => !entries.includes(path))
      .flatMap((source) => exportsOf(source).map((name) => `${source.path}: ${name}`));
    expect(all.length).toBeGreaterThan(1000);
    expect(all.filter((name) => !used.has(name))).toEqual([]);
  });

  test('of the core are called', () => {
    const called = new Set([...host, ...tests].flatMap(({ text }) => text.match(/\w+/g) ?? []));
    const names = modules.flatMap((path) => exportsOf(byPath.get(path)!));
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !called.has(name))).toEqual([]);
  });
});
