/** The text of the repository, as the tests in this folder read it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

export interface Source {
  /** Relative to the repository. */
  path: string;
  text: string;
  imports: string[];
}

function filesIn(folder: string, extension: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => extension.test(name) && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name));
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export function foldersIn(path: string): string[] {
  return readdirSync(join(root, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** What stands at the top, without what starts with a dot and what is made here. */
export function topLevel(): string[] {
  const made = ['node_modules', 'dist', 'build'];
  return readdirSync(root).filter((name) => !name.startsWith('.') && !made.includes(name));
}

/** Outside of the repository there is nothing. */
export const exists = (path: string): boolean => !path.startsWith('..') && existsSync(join(root, path));

export const isFolder = (path: string): boolean => exists(path) && statSync(join(root, path)).isDirectory();

function sources(folder: string): Source[] {
  return filesIn(folder, /\.(ts|mjs)$/).map((path) => {
    const text = read(path);
    return { path, text, imports: importsOf(path, text) };
  });
}

function importsOf(path: string, text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, target]) =>
    target!.startsWith('.') ? normalize(join(dirname(path), target!)) : target!,
  );
}

const allHost = sources('host');
/** Without the scripts that build it. */
export const host = allHost.filter(({ path }) => !path.startsWith('host/build/'));
export const assembly = sources('assembly');
export const tests = [...sources('test'), ...sources('bench')];

const blockComments = /(?<=^|\s)\/\*[\s\S]*?\*\//g;
const lineComments = /(?<=^|\s)\/\/.*/g;

export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*/g, '');
}

/** What people read, line breaks taken out: the comments of code, or a page without its examples. */
export interface Prose {
  path: string;
  text: string;
}

function comments(text: string): string {
  const blocks = text.match(blockComments) ?? [];
  const lines = text.replace(blockComments, '').match(lineComments) ?? [];
  const plain = blocks.map((block) => block.replace(/^\/\*+|\*\/$|^\s*\* ?/gm, ' '));
  return [...plain, ...lines.map((line) => line.slice(2))].map(oneLine).join(' ');
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ');

export const examples = /^```[\s\S]*?^```/gm;

const topPages = topLevel().filter((name) => name.endsWith('.md'));

export const pages: Prose[] = [...topPages, ...filesIn('host', /\.md$/), ...filesIn('assembly', /\.md$/)].map(
  (path) => ({ path, text: oneLine(read(path).replace(examples, ' ')) }),
);

export const prose: Prose[] = [
  ...pages,
  ...[...allHost, ...assembly, ...tests].map(({ path, text }) => ({ path, text: comments(text) })),
];
