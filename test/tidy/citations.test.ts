/**
 * What comments and pages cite can be opened: `specification: graph, section 9` is the heading `## 9.` of
 * host/specs/graph.md. A section without a page (`section 4.3`) belongs to the only one that the file cites, and in a
 * page to the page itself. Sections of RFCs are cited with the RFC in front of them.
 */
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { isFolder, type Prose, pages, prose, read } from './sources.ts';

const folder = 'host/specs/';
const specifications = new Map(
  pages
    .filter(({ path }) => path.startsWith(folder) && basename(path) !== 'README.md')
    .map(({ path }) => [basename(path, '.md'), headingsOf(read(path))]),
);

/** The numbers of its headings. */
function headingsOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^##+ (\d+(?:\.\d+)*)\.? /gm)].map(([, number]) => number!));
}

const list = String.raw`\d+(?:\.\d+)*(?:(?:, | and | or | to )\d+(?:\.\d+)*)*`;
const citation = new RegExp(`(?:(RFC) \\d+[ ,(]+|\\b([a-z][a-z0-9-]*), )?\\bsections? (${list})`, 'gi');
const numbers = /\d+(?:\.\d+)*/g;

interface Citation {
  /** undefined: not named. */
  page: string | undefined;
  section: string;
}

function citationsIn({ path, text }: Prose): Citation[] {
  const found = [...text.matchAll(citation)].flatMap(([, rfc, name, sections]) => {
    const page = name !== undefined && specifications.has(name) ? name : undefined;
    return rfc ? [] : sections!.match(numbers)!.map((section) => ({ page, section }));
  });
  // Pages with sections of sections cite their own by number alone.
  const own = path.startsWith(folder) ? [...text.matchAll(/\((\d{1,2}\.\d{1,2})\)/g)] : [];
  return [...found, ...own.map(([, section]) => ({ page: undefined, section: section! }))];
}

/** The pages that a file names after `specification:`. */
function pagesCited({ text }: Prose): string[] {
  return [...text.matchAll(/\bspecification: ([^)"]*)/g)].flatMap(([, items]) =>
    items!.split('; ').map((item) => /^[\w-]*/.exec(item)![0]),
  );
}

function ownPage(file: Prose): string | undefined {
  if (file.path.startsWith(folder)) return basename(file.path, '.md');
  const cited = new Set(pagesCited(file));
  return cited.size === 1 ? [...cited][0] : undefined;
}

test('every page that is cited exists', () => {
  const wrong = prose.flatMap((file) =>
    pagesCited(file)
      .filter((page) => !specifications.has(page))
      .map((page) => `${file.path}: ${page}`),
  );
  expect(wrong).toEqual([]);
});

test('every section that is cited exists', () => {
  // It shows how to cite.
  const files = prose.filter(
    ({ path }) => path !== join(folder, 'README.md') && !path.startsWith('test/tidy/'),
  );
  const wrong = files.flatMap((file) =>
    citationsIn(file)
      .map(({ page, section }) => ({ page: page ?? ownPage(file) ?? '(which page?)', section }))
      .filter(({ page, section }) => !specifications.get(page)?.has(section))
      .map(({ page, section }) => `${file.path}: ${page}, section ${section}`),
  );
  expect(wrong).toEqual([]);
  expect(files.flatMap(citationsIn).length).toBeGreaterThan(200);
});

test('the list of pages names each, and folders that there are', () => {
  const rows = read(join(folder, 'README.md')).match(/^\| \[.*/gm) ?? [];
  const listed = rows.map((row) => /\]\((.*?)\.md\)/.exec(row)![1]);
  expect(listed).toEqual([...specifications.keys()].sort());
  const governed = rows.flatMap((row) =>
    [...row.matchAll(/`((?:host|assembly)\/.*?)`/g)].map(([, path]) => path!),
  );
  expect(governed.filter((path) => !isFolder(path))).toEqual([]);
  expect(governed.length).toBeGreaterThan(10);
});
