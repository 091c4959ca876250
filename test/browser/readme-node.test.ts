/** The program for Node in host/library/README.md prints what is said there. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(resolve(root, 'host/library/README.md'), 'utf8');

test('the program for Node prints what the README says', () => {
  const [, program, output] = /```js\n(.*?)```\n\nprints\n\n```\n(.*?)```/s.exec(readme)!;
  const library = pathToFileURL(resolve(root, 'dist/index.js')).href;
  const file = scratch('example.mjs');
  writeFileSync(file, program!.replace("'blockyard'", `'${library}'`));
  const printed = execFileSync(process.execPath, [file], {
    cwd: dirname(file),
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect(printed).toBe(output);
});
