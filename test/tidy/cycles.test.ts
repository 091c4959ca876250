/**
 * Import cycles. A cycle of values makes what a module sees depend on who was loaded first: there is none, imports at
 * run time included. Types may refer to each other, but only within one folder: two rooms that need each other are one.
 */
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assembly, host, type Source } from './sources.ts';

type Graph = ReadonlyMap<string, readonly string[]>;

const statement = /(?:^|\n)(?:import|export)\s+(type\s)?([^;'"]*?)\s*from\s+'(\.[^']+)'/g;

/** Whether nothing of `import { … }` is left at run time. */
function isTypeOnly(keyword: string | undefined, names: string): boolean {
  if (keyword !== undefined) return true;
  const list = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
  const items = list?.split(',').map((item) => item.trim()) ?? [''];
  return items.every((item) => item === '' || item.startsWith('type ')) && list !== undefined;
}

function valuesOf({ text }: Source): Set<string> {
  const types = new Set<string>();
  const values = new Set<string>();
  for (const [, keyword, names, target] of text.matchAll(statement)) {
    (isTypeOnly(keyword, names!) ? types : values).add(target!);
  }
  for (const [, target] of text.matchAll(/(?<!typeof )\bimport\(\s*'(\.[^']+)'/g)) values.add(target!);
  return new Set([...values].map((target) => target.split('/').at(-1)!));
}

function graphOf(sources: readonly Source[], withTypes: boolean): Graph {
  const paths = new Set(sources.map(({ path }) => path));
  const fileOf = (name: string): string => (paths.has(name) ? name : `${name}.ts`);
  return new Map(
    sources.map((source) => {
      const values = valuesOf(source);
      const targets = source.imports
        .filter((target) => withTypes || values.has(target.split('/').at(-1)!))
        .map(fileOf)
        .filter((target) => paths.has(target));
      return [source.path, targets];
    }),
  );
}

/** The sets of more than one file that all reach each other (Tarjan's strongly connected components). */
function cyclesOf(graph: Graph): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const visit = (path: string): number => {
    const index = order.size;
    order.set(path, index);
    lowest.set(path, index);
    open.push(path);
    let low = index;
    for (const target of graph.get(path) ?? []) {
      if (!order.has(target)) low = Math.min(low, visit(target));
      else if (open.includes(target)) low = Math.min(low, order.get(target)!);
    }
    lowest.set(path, low);
    if (low === index) {
      const members = open.splice(open.indexOf(path));
      if (members.length > 1) found.push(members.sort());
    }
    return low;
  };
  for (const path of graph.keys()) if (!order.has(path)) visit(path);
  return found;
}

describe('imports', () => {
  const sources = [...host, ...assembly];

  test('have no cycle of values', () => {
    expect(cyclesOf(graphOf(sources, false))).toEqual([]);
  });

  test('have cycles of types only within one folder', () => {
    const across = cyclesOf(graphOf(sources, true)).filter(
      (files) => new Set(files.map((path) => dirname(path))).size > 1,
    );
    expect(across).toEqual([]);
  });

  test('are followed as this test believes', () => {
    const path = (name: string): string => `host/${name}.ts`;
    const file = (name: string, text: string, imports: string[]): Source => ({
      path: path(name),
      text,
      imports: imports.map(path),
    });
    const two = [
      file('a', "import { type A, b } from './b.ts';", ['b']),
      file('b', "import { c } from './c.ts';", ['c']),
      file('c', "import type { A } from './a.ts';\nimport('./b.ts');", ['a', 'b']),
    ];
    expect(cyclesOf(graphOf(two, false))).toEqual([[path('b'), path('c')]]);
    expect(cyclesOf(graphOf(two, true))).toEqual([[path('a'), path('b'), path('c')]]);
  });
});
