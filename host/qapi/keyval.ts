/**
 * The keyval dialect of QEMU's newer options: `driver=raw,file.driver=file,file.filename=a,,b.img` (specification: cli,
 * section 1).
 *
 * Dots build nested objects, numbers as names build lists. All values are still text: keyval-values.ts checks them
 * against a type. Two commas stand for one in a value, but not in a first value without a name. The last of several
 * equal names wins.
 */
import { invalid } from '../base/errors.ts';
import type { JsonObject, JsonValue } from './json-value.ts';

const maxNameLength = 127;

interface Keyval {
  values: JsonObject;
  /** `help` or `?` stood in place of a `name=value`. */
  help: boolean;
}

/** `impliedKey` is the name of a first value that has none. Throws BlockError. */
export function parseKeyval(text: string, impliedKey?: string): Keyval {
  const root = new Branch();
  let help = false;
  for (let at = 0; at < text.length; ) {
    const item = readItem(text, at, at === 0 ? impliedKey : undefined);
    at = item.end;
    if (item.value === undefined) help = true;
    else root.put(item.path, item.value, item.name);
  }
  return { values: toValue(root, '') as JsonObject, help };
}

interface Item {
  name: string;
  path: string[];
  /** Undefined: asks for help. */
  value: string | undefined;
  end: number;
}

function readItem(text: string, start: number, impliedKey: string | undefined): Item {
  let keyEnd = start;
  while (keyEnd < text.length && text[keyEnd] !== '=' && text[keyEnd] !== ',') keyEnd++;
  const name = text.slice(start, keyEnd);
  const bare = text[keyEnd] !== '=';
  if (bare && (name === 'help' || name === '?')) {
    return { name, path: [], value: undefined, end: keyEnd + 1 };
  }
  if (bare && impliedKey !== undefined && name !== '') {
    return { name: impliedKey, path: [impliedKey], value: name, end: keyEnd + 1 };
  }
  const path = splitName(name);
  if (bare) throw invalid(`Expected '=' after parameter '${name}'`);
  return { name, path, ...readValue(text, keyEnd + 1) };
}

function readValue(text: string, start: number): { value: string; end: number } {
  let value = '';
  let at = start;
  for (; at < text.length; at++) {
    if (text[at] === ',') {
      if (text[at + 1] !== ',') return { value, end: at + 1 };
      at++;
    }
    value += text[at];
  }
  return { value, end: at };
}

/** The name of a member, perhaps with a downstream prefix, which may hold dots (`__com.redhat_name`); or an index. */
const namePart = /(?:__[a-z0-9.-]+_)?[a-z][a-z0-9_-]*|\d+/iy;

function splitName(name: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at <= name.length; at++) {
    namePart.lastIndex = at;
    const part = namePart.exec(name)?.[0] ?? '';
    at += part.length;
    const isIndex = /^\d/.test(part);
    if (part === '' || (isIndex && parts.length === 0) || (at < name.length && name[at] !== '.')) {
      throw invalid(`Invalid parameter '${name}'`);
    }
    if (part.length > maxNameLength) {
      throw invalid(`Parameter${part === name ? '' : ' fragment'} '${part}' is too long`);
    }
    parts.push(part);
  }
  return parts;
}

class Branch {
  readonly members = new Map<string, Branch | string>();

  put(path: readonly string[], value: string, name: string): void {
    const [first, ...rest] = path as [string, ...string[]];
    const present = this.members.get(first);
    if (rest.length === 0) {
      if (present instanceof Branch) throw inconsistent(name);
      this.members.set(first, value);
      return;
    }
    if (typeof present === 'string') {
      throw inconsistent(name.slice(0, name.length - rest.join('.').length - 1));
    }
    const branch = present ?? new Branch();
    this.members.set(first, branch);
    branch.put(rest, value, name);
  }
}

function inconsistent(name: string): Error {
  return invalid(`Parameters '${name}.*' used inconsistently`);
}

/** A branch with numbers for names is a list without gaps. */
function toValue(branch: Branch, name: string): JsonValue {
  const inner = (key: string): string => (name === '' ? key : `${name}.${key}`);
  const entries = [...branch.members].map(
    ([key, value]) =>
      [key, typeof value === 'string' ? value : toValue(value, inner(key))] as [string, JsonValue],
  );
  const numbered = entries.filter(([key]) => /^\d/.test(key));
  if (numbered.length === 0) return Object.fromEntries(entries);
  if (numbered.length < entries.length) throw inconsistent(name);
  const elements = new Map(entries.map(([key, value]) => [Number(key), value]));
  return Array.from({ length: elements.size }, (_, i) => {
    const element = elements.get(i);
    if (element === undefined) throw invalid(`Parameter '${inner(String(i))}' missing`);
    return element;
  });
}
