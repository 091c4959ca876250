/** The reference of the API, as it is made when the package is packed: all that is exported has a page, and no link leads nowhere. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const folder = scratch('reference');
/** By their paths in the reference. */
const pages = new Map<string, string>();

beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'host/build/reference.mjs'), folder], { stdio: 'pipe' });
  for (const { parentPath, name } of readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile(),
  )) {
    const path = join(parentPath, name);
    pages.set(relative(folder, path), readFileSync(path, 'utf8'));
  }
}, 60_000);

/** What a module exports by name. */
function exportsOf(path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8');
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]+)\}/gm)].flatMap(([, list]) => list!.split(',')); // the pattern has it
  const own = [...text.matchAll(/^export (?:async )?(?:function|class|interface|const|type) (\w+)/gm)];
  return [...lists.map((one) => one.replace(/\btype\b/, '').trim()), ...own.map(([, name]) => name!)].filter(
    (name) => name !== '',
  ); // the pattern has it
}

test('all that the package exports has a page, with a sentence about it', () => {
  const documented = new Set([...pages.keys()].map((path) => /(\w+)\.md$/.exec(path)?.[1]));
  const exported = ['host/index.ts', 'host/library/index.ts'].flatMap(exportsOf);
  expect(exported.length).toBeGreaterThan(70);
  expect(exported.filter((name) => !documented.has(name))).toEqual([]);
  // What has none is an error of the script that makes the pages.
  expect(pages.get('blockyard/interfaces/BackupPlan.md')).toContain('What is backed up at one instant');
});

/** As web sites name them. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/\\/g, '')
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-');

test('no link in it leads nowhere', () => {
  const wrong: string[] = [];
  let followed = 0;
  for (const [path, text] of pages) {
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const [file, anchor] = target!.split('#'); // the pattern has it
      if (/^[a-z]+:/.test(target!)) continue; // as above
      const page = pages.get(file === '' ? path : join(dirname(path), file!)); // there is a first part
      const headings = [...(page ?? '').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!)); // as above
      if (!page || (anchor !== undefined && !headings.includes(anchor))) wrong.push(`${path}: ${target}`);
      followed++;
    }
  }
  expect(wrong).toEqual([]);
  expect(followed).toBeGreaterThan(300);
});

test('links of the READMEs lead into it, and it is made when the package is packed', () => {
  const links = ['README.md', 'host/library/README.md'].flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)\s]*dist\/reference\/[^)\s]*)\)/g)].map(
      ([, target]) => join(dirname(page), target!), // the pattern has it
    ),
  );
  expect(links.length).toBeGreaterThan(1);
  for (const link of links) expect(existsSync(join(folder, relative('dist/reference', link)))).toBe(true);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    files: string[];
  };
  expect(manifest.scripts['prepack']).toContain('host/build/reference.mjs');
  expect(manifest.files).toContain('dist');
});
