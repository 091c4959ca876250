/**
 * What comments and pages point at is there: files, folders and the targets of links. A name is looked for from the
 * folder of the file that has it, and from the folders above.
 */
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { examples, exists, isFolder, pages, prose, read } from './sources.ts';

/** Names that stand for files which readers and tests make. */
const made = ['backup.mjs', 'blockyard.mjs', 'nightly.mjs'];
/** The reference is made when the package is packed; test/package/reference.test.ts follows links into it. */
const whenPacked = /^(?:\.\.\/)*dist\/reference\//;

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
      .filter((name) => !made.includes(name) && !whenPacked.test(name) && !isFound(path, name, exists))
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
      .filter((target) => !whenPacked.test(target))
      .filter((target) => !exists(join(dirname(path), target.replace(/#.*/, ''))))
      .map((target) => `${path}: ${target}`),
  );
  expect(wrong).toEqual([]);
});

/** As web sites name them: small letters, spaces as dashes, without signs. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-');

test('every link to a heading leads to one, and no example swallows a page', () => {
  const headings = new Map(
    pages.map(({ path }) => {
      const text = read(path);
      // What opens a block of an example is closed again, or the rest of the page would be one.
      expect((text.match(/^```/gm) ?? []).length % 2, path).toBe(0);
      const found = [...text.replace(examples, '').matchAll(/^#+ (.+)$/gm)];
      expect(found.filter(([line]) => /^# /.test(line)).length, path).toBe(1);
      return [path, found.map(([, heading]) => anchorOf(heading!))] as const;
    }),
  );
  const wrong = pages.flatMap(({ path, text }) =>
    [...text.matchAll(links)]
      .map(([, target]) => target!)
      .filter((target) => target.includes('#') && !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [file, anchor] = target.split('#');
        const page = file === '' ? path : join(dirname(path), file!);
        return headings.has(page) && !headings.get(page)!.includes(anchor!);
      })
      .map((target) => `${path}: ${target}`),
  );
  expect(wrong).toEqual([]);
});
