/**
 * What comments and pages point at is there: files, folders and the targets of links. A name is looked for from the
 * folder of the file that has it, and from the folders above.
 */
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { exists, isFolder, prose } from './sources.ts';

/** Names that stand for files which readers and tests make. */
const made = ['backup.mjs', 'blockyard.mjs'];

const fileNames = /(?<![\w/.-])(?:[\w-]+\/|\.\.?\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|mjs|md)\b/g;
const folderNames = /(?<=`)(?:[\w.-]+\/)+(?=`)/g;
const links = /\]\(([^)\s]+)\)/g;

/** Whether `name` is found from the folder of `path` or from one above it. */
function isFound(path: string, name: string, there: (path: string) => boolean): boolean {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (there(join(folder, name))) return true;
    if (folder === '.') return false;
  }
}

test('every file that a comment or page names exists', () => {
  const wrong = prose.flatMap(({ path, text }) =>
    [...text.matchAll(fileNames)]
      .map(([name]) => name)
      .filter((name) => !made.includes(name) && !isFound(path, name, exists))
      .map((name) => `${path}: ${name}`),
  );
  expect(wrong).toEqual([]);
});

test('every folder that a comment or page names exists', () => {
  const wrong = prose.flatMap(({ path, text }) =>
    [...text.matchAll(folderNames)]
      .map(([name]) => name)
      .filter((name) => !isFound(path, name, isFolder))
      .map((name) => `${path}: ${name}`),
  );
  expect(wrong).toEqual([]);
});

test('every link to a file leads to one', () => {
  const wrong = prose.flatMap(({ path, text }) =>
    [...text.matchAll(links)]
      .map(([, target]) => target!)
      .filter((target) => !/^(?:[a-z]+:|#)/.test(target))
      .filter((target) => !exists(join(dirname(path), target.replace(/#.*/, ''))))
      .map((target) => `${path}: ${target}`),
  );
  expect(wrong).toEqual([]);
});
