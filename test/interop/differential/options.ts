/**
 * Options of block nodes as trees, and the dialects in which people and programs write them: `json:` names, nested or
 * dotted, with values as JSON or as text; option strings; and what `open -o` of qemu-io takes.
 */
import type { Seeded } from '../../support/seeded.ts';

/** A value by its meaning; how it is spelled is chosen when it is written. */
export type Value =
  | { kind: 'size'; bytes: number }
  | { kind: 'number'; value: number }
  | { kind: 'switch'; on: boolean }
  | { kind: 'text'; text: string }
  /** As it is in every dialect: mistakes. */
  | { kind: 'raw'; json: unknown; text: string };

export type Tree = { [name: string]: Value | Tree | Tree[] };

export const text = (value: string): Value => ({ kind: 'text', text: value });
export const size = (bytes: number): Value => ({ kind: 'size', bytes });
export const number = (value: number): Value => ({ kind: 'number', value });
export const onOff = (on: boolean): Value => ({ kind: 'switch', on });

export function isValue(node: Value | Tree | Tree[]): node is Value {
  return !Array.isArray(node) && typeof node['kind'] === 'string';
}

const suffixes = [
  ['k', 1024],
  ['K', 1024],
  ['M', 1 << 20],
  ['m', 1 << 20],
] as const;

function sizeText(random: Seeded, bytes: number): string {
  const spellings = [String(bytes), `0x${bytes.toString(16)}`, `+${bytes}`, `${bytes}b`];
  for (const [suffix, unit] of suffixes) {
    // Fractions of a power of two are exact in decimal.
    if (bytes % (unit / 1024) === 0 && bytes > 0) spellings.push(`${bytes / unit}${suffix}`);
  }
  return random.pick(spellings.filter((spelling) => !spelling.includes('e')));
}

function valueText(random: Seeded, value: Value): string {
  switch (value.kind) {
    case 'size':
      return sizeText(random, value.bytes);
    case 'number':
      return random.pick([String(value.value), `0x${value.value.toString(16)}`]);
    case 'switch':
      return random.pick(value.on ? ['on', 'yes', 'true', 'y'] : ['off', 'no', 'false', 'n']);
    case 'text':
    case 'raw':
      return value.text;
  }
}

function valueJson(random: Seeded, value: Value): unknown {
  if (value.kind === 'raw') return value.json;
  if (value.kind === 'text' || random.oneIn(2)) return valueText(random, value);
  switch (value.kind) {
    case 'size':
      return value.bytes;
    case 'number':
      return value.value;
    case 'switch':
      return value.on;
  }
}

/** `json:{…}`: some objects nested, some dotted. */
export function asJsonName(random: Seeded, tree: Tree): string {
  return `json:${JSON.stringify(jsonObject(random, tree))}`;
}

function jsonObject(random: Seeded, tree: Tree): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, node] of Object.entries(tree)) {
    if (Array.isArray(node)) result[name] = node.map((element) => jsonObject(random, element));
    else if (isValue(node)) result[name] = valueJson(random, node);
    else {
      const inner = jsonObject(random, node);
      if (random.oneIn(2)) result[name] = inner;
      else for (const [key, value] of Object.entries(inner)) result[`${name}.${key}`] = value;
    }
  }
  return result;
}

/** `a=1,b.c=2`: for `--image-opts` and, in front of a file name, for `open -o`. */
export function asOptionString(random: Seeded, tree: Tree): string {
  return pairs(random, tree, '')
    .map(([name, value]) => `${name}=${value.replaceAll(',', ',,')}`)
    .join(',');
}

function pairs(random: Seeded, tree: Tree, prefix: string): [string, string][] {
  return Object.entries(tree).flatMap(([name, node]): [string, string][] => {
    const full = `${prefix}${name}`;
    if (Array.isArray(node))
      return node.flatMap((element, index) => pairs(random, element, `${full}.${index}.`));
    return isValue(node) ? [[full, valueText(random, node)]] : pairs(random, node, `${full}.`);
  });
}

/** What people write by mistake, in place of any value. */
const mistakes: readonly { json: unknown; text: string }[] = [
  { json: '', text: '' },
  { json: 'x', text: 'x' },
  { json: '-1', text: '-1' },
  { json: -1, text: '-1' },
  { json: 1.5, text: '1.5' },
  { json: '1.5', text: '1.5' },
  { json: '1kb', text: '1kb' },
  { json: '99999999999999999999', text: '99999999999999999999' },
  { json: 'ON', text: 'ON' },
];

/** Puts a mistake in place of one value that is a size, a number or a switch; false when there is none. */
export function spoil(random: Seeded, tree: Tree): boolean {
  const places: [Tree, string][] = [];
  const visit = (node: Tree): void => {
    for (const [name, inner] of Object.entries(node)) {
      if (Array.isArray(inner)) inner.forEach(visit);
      else if (!isValue(inner)) visit(inner);
      else if (inner.kind !== 'text') places.push([node, name]);
    }
  };
  visit(tree);
  if (places.length === 0) return false;
  const [node, name] = random.pick(places);
  node[name] = { kind: 'raw', ...random.pick(mistakes) };
  return true;
}
