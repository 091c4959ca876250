/** The declarations of the package as packed: the examples of the READMEs have the types that they use, as other projects see them. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { beforeAll, expect, test } from 'vitest';
import { type PackedProject, packedProject } from '../support/packed-project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { exampleOf, scriptOf } from './readme-examples.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
let project: PackedProject;

const examples: Readonly<Record<string, string>> = {
  page: scriptOf(exampleOf('host/library/README.md', 'html').program),
  parts: exampleOf('README.md', 'ts').program,
  library: exampleOf('host/library/README.md', 'js').program,
  machine: exampleOf('host/emulator/README.md', 'js').program,
};

beforeAll(() => {
  project = packedProject(scratch('project'), ['@types/node', 'undici-types', 'typescript']);
  for (const [name, text] of Object.entries(examples))
    writeFileSync(join(project.folder, `${name}.ts`), text);
});

test.each([
  ['bundler', 'esnext'],
  ['node16', 'node16'],
])('the examples are right under strict, with moduleResolution %s', (moduleResolution, module) => {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2022',
    lib: ['es2023', 'dom', 'dom.iterable'],
    types: ['node'],
    module,
    moduleResolution,
  };
  const config = join(project.folder, `tsconfig.${moduleResolution}.json`);
  writeFileSync(config, JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', config], { encoding: 'utf8' });
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

/** Whoever cannot import ES modules, or knows no `exports`, has no part in it. */
const accepted: readonly string[] = ['NoResolution', 'CJSResolvesToESM'];

test('attw and publint find nothing that keeps anybody from the package', async () => {
  const bytes = readFileSync(project.tarball);
  const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const { messages } = await publint({ pack: { tarball }, strict: true });
  expect(messages).toEqual([]);
  const checked = await checkPackage(createPackageFromTarballData(bytes));
  const problems = 'problems' in checked ? checked.problems : ['there are no types'];
  expect(problems.filter((found) => typeof found === 'string' || !accepted.includes(found.kind))).toEqual([]);
});
