/** Every tool under Node's permission model: what it may not open is an error in words, and what it may works. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const flag = ['--permission', '--experimental-permission'].find((name) =>
  process.allowedNodeEnvironmentFlags.has(name),
)!; // each Node that is supported has one of them
const root = resolve(import.meta.dirname, '../..');
const [allowed, forbidden] = [scratch('allowed'), scratch('forbidden')];

function run(...argv: string[]): { status: number | null; text: string } {
  const bounds = [`--allow-fs-read=${root}/`, `--allow-fs-read=${allowed}/`, `--allow-fs-write=${allowed}/`];
  const words = [flag, '--no-warnings', ...bounds, bundle, ...argv];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', input: '' });
  return { status, text: stdout + stderr };
}

beforeAll(() => {
  for (const folder of [allowed, forbidden]) mkdirSync(folder);
  const image = ['img', 'create', '-q', '-f', 'qcow2', `${forbidden}/disk.qcow2`, '1M'];
  spawnSync(process.execPath, [bundle, ...image]);
});

test('images within bounds are made, written and read', () => {
  const path = `${allowed}/disk.qcow2`;
  expect(run('img', 'create', '-q', '-f', 'qcow2', path, '1M')).toMatchObject({ status: 0 });
  expect(run('io', '-c', 'write -P 7 0 4k', '-c', 'flush', '-c', 'read -P 7 0 4k', path)).toMatchObject({
    status: 0,
  });
  expect(run('img', 'convert', '-q', '-O', 'raw', path, `${allowed}/disk.raw`)).toMatchObject({ status: 0 });
  expect(run('img', 'convert', '-q', '--atomic', path, `${allowed}/disk.raw`)).toMatchObject({ status: 0 });
  expect(run('img', 'info', allowed).text).toContain("'file' driver requires");
});

const image = `${forbidden}/disk.qcow2`;

test.each([
  [['img', 'info', image], 'fs-read'],
  [['img', 'create', '-q', '-f', 'qcow2', `${forbidden}/new.qcow2`, '1M'], 'fs-(read|write)'],
  [['io', '-c', 'read 0 512', image], 'fs-read'],
  [['storage-daemon', '--blockdev', `file,node-name=f,filename=${image}`], 'fs-read'],
  [['storage-daemon', '--pidfile', `${forbidden}/pid`], 'fs-(read|write)'],
  [['system', '-hda', image], 'fs-read'],
  [['system', '-chardev', `file,id=c,path=${forbidden}/log`], 'fs-(read|write)'],
  [['system', '-chardev', `pipe,id=c,path=${forbidden}/pipe`], 'fs-(read|write)'],
  [['system', '-daemonize'], 'child-process'],
  [['vm', '-kernel', image], 'fs-read'],
  [['web', image], 'fs-read'],
  [['web', '--trace', `file=${forbidden}/log`], 'fs-write'],
  [['demo'], 'fs-write'],
])('%j is refused in words', (argv, name) => {
  const { status, text } = run(...argv);
  expect(text).toMatch(
    new RegExp(`^blockyard ${argv[0]}: .*Permission denied \\(Node runs without --allow-${name}\\b.*\\)\n$`),
  );
  expect(status).toBe(1);
});
