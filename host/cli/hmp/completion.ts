/**
 * What the word at the end of a line can become in the human monitor: names of commands, of disks, of files. What QEMU completes beside
 * these (devices, objects, migration) is about commands that are not here.
 */
import { readdirSync } from 'node:fs';
import type { HmpCommand } from './command.ts';

interface CompletionSources {
  readonly commands: readonly HmpCommand[];
  /** Names of disks. */
  disks(): Promise<readonly string[]>;
}

interface Completion {
  /** What is to be put in at once. */
  readonly text: string;
  /** All there are, in rows; empty when there is one, or none. */
  readonly rows: readonly string[];
}

const screenColumns = 80;
const minColumnWidth = 10;
const gap = 2;

/** `line`: what stands before the cursor. */
export async function complete(line: string, sources: CompletionSources): Promise<Completion> {
  const words = line.trimStart().split(/\s+/);
  const word = words.pop()!; // a split gives one at least
  const candidates = (await candidatesFor(words, word, sources)).filter((name) => name.startsWith(word));
  const names = [...new Set(candidates)].sort();
  const [first, ...others] = names;
  if (first === undefined) return { text: '', rows: [] };
  const shared = others.reduce(sharedStart, first);
  const isWhole = others.length === 0 && !first.endsWith('/');
  return {
    text: shared.slice(word.length) + (isWhole ? ' ' : ''),
    rows: others.length === 0 ? [] : inRows(names),
  };
}

async function candidatesFor(
  [first, ...words]: readonly string[],
  word: string,
  sources: CompletionSources,
): Promise<readonly string[]> {
  const { commands } = sources;
  const info = commands.filter(({ name }) => name.startsWith('info ')).map(({ name }) => name.slice(5));
  const others = commands.filter(({ name }) => !name.startsWith('info '));
  const names = [
    ...others.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias])),
    'info',
  ];
  if (first === undefined) return [...names, 'help', '?'];
  if (first === 'help' || first === '?') {
    if (words.length === 0) return names;
    return words.length === 1 && words[0] === 'info' ? info : [];
  }
  if (first === 'info' && words.length === 0) return info;
  const called = first === 'info' ? `info ${words.shift()}` : first;
  const command = commands.find(({ name, alias }) => name === called || alias === called);
  const parameters = command?.parameters?.filter(({ kind }) => kind !== 'flag') ?? [];
  switch (parameters[words.filter((one) => !one.startsWith('-')).length]?.kind) {
    case 'device':
      return sources.disks();
    case 'filename':
      return filesLike(word);
    case 'switch':
      return ['on', 'off'];
    default:
      return [];
  }
}

/** Those of the folder that the path is in; folders end with a slash. */
function filesLike(path: string): string[] {
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  try {
    const entries = readdirSync(folder === '' ? '.' : folder, { withFileTypes: true });
    return entries.map((entry) => `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`);
  } catch {
    // A folder that cannot be read has nothing to offer.
    return [];
  }
}

function sharedStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

function inRows(names: readonly string[]): string[] {
  const longest = Math.max(...names.map(({ length }) => length));
  const width = Math.min(Math.max(longest + gap, minColumnWidth), screenColumns);
  const columns = Math.floor(screenColumns / width);
  const rows: string[] = [];
  for (let at = 0; at < names.length; at += columns) {
    const cells = names.slice(at, at + columns).map((name) => name.padEnd(width));
    rows.push(cells.join(''));
  }
  return rows;
}
