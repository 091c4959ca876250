/**
 * What a start costs, told by what it loads, for times say little on a busy machine: the modules of Node, the chunks of the program. And
 * that compiled code is kept, for whom, and is never trusted blindly.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const built = dirname(bundle);

/** A package that is ours alone: its build, and links to what it needs. */
let program: string;
let home: string;
let counter = 0;

beforeEach(() => {
  const name = `package-${counter++}`;
  home = scratch(`${name}-home`);
  program = join(scratch(name), 'dist/blockyard.cjs');
  mkdirSync(home);
  mkdirSync(dirname(program), { recursive: true });
  cpSync(bundle, program);
  cpSync(join(built, 'chunks'), join(dirname(program), 'chunks'), { recursive: true });
  symlinkSync(resolve(built, '../node_modules'), join(scratch(name), 'node_modules'));
});

function run(argv: string[], { node = [] as string[], env = {} } = {}): { out: string; errors: string } {
  const { HOME: _, XDG_CACHE_HOME: __, NODE_V8_COVERAGE: ___, ...rest } = process.env;
  const child = spawnSync(process.execPath, [...node, program, ...argv], {
    env: { ...rest, HOME: home, ...env },
    encoding: 'utf8',
  });
  expect(child.status, child.stderr).toBe(0);
  return { out: child.stdout, errors: child.stderr };
}

function makeImage(): string {
  const image = scratch(`disk-${counter}.qcow2`);
  run(['img', 'create', '-q', '-f', 'qcow2', image, '1M']);
  return image;
}

const beside = (): string => join(dirname(program), 'compiled');
const cacheOfUser = (): string => join(home, '.cache/blockyard');

/** The file for a command. */
function keptIn(place: string, command: string): string | undefined {
  if (!existsSync(place)) return undefined;
  const [folder, ...others] = readdirSync(place);
  expect(others).toEqual([]);
  const path = join(place, folder!, command); // it has one
  return existsSync(path) ? path : undefined;
}

function chunksIn(file: string): string[] {
  const [head] = readFileSync(file, 'latin1').split('\n');
  return (JSON.parse(head!) as [string, number][]).map(([path]) => path); // a text has a first line
}

describe('img info', () => {
  test('sets up nothing of Node that is not used', () => {
    const image = makeImage();
    const listing = scratch('list.cjs');
    writeFileSync(
      listing,
      `process.on('exit', () => require('fs').writeSync(2, process.moduleLoadList.join('\\n')));`,
    );
    const { errors } = run(['img', 'info', image], { node: ['-r', listing] });
    const loaded = new Set(errors.split('\n').map((line) => line.replace('NativeModule ', '')));
    expect(loaded).toContain('vm');
    const unused = ['crypto', 'fs/promises', 'http', 'module', 'net', 'perf_hooks', 'stream', 'tls', 'tty'];
    expect(unused.filter((name) => loaded.has(name))).toEqual([]);
  });

  test('loads what opening an image takes, and no more', () => {
    run(['img', 'info', makeImage()]);
    const chunks = chunksIn(keptIn(beside(), 'img-info')!); // it was kept
    const names = chunks.map((path) => path.replace(/^.*\/|(-[\w-]{8})?\.cjs$/g, '')).sort();
    expect(names).toEqual(['image', 'main', 'rolldown-runtime', 'start']);
    const sizes = chunks.map((path) => statSync(join(dirname(program), path)).size);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(455_000);
  });
});

describe('compiled code', () => {
  test('is used by the next start, and not written again', () => {
    const image = makeImage();
    const { out } = run(['img', 'info', image]);
    const file = keptIn(beside(), 'img-info')!; // it was kept
    utimesSync(file, 1, 1);
    expect(run(['img', 'info', image])).toEqual({ out, errors: '' });
    expect(statSync(file).mtimeMs).toBe(1000);
    expect(existsSync(cacheOfUser())).toBe(false);
  });

  test('is for the user alone where the package belongs to somebody else', () => {
    const image = makeImage();
    chmodSync(dirname(program), 0o777);
    run(['img', 'info', image]);
    expect(keptIn(beside(), 'img-info')).toBeUndefined();
    const file = keptIn(cacheOfUser(), 'img-info')!; // it was kept
    expect(statSync(file).mode & 0o022).toBe(0);
    const elsewhere = scratch(`cache-${counter}`);
    mkdirSync(elsewhere);
    run(['img', 'info', image], { env: { XDG_CACHE_HOME: elsewhere } });
    expect(keptIn(join(elsewhere, 'blockyard'), 'img-info')).toBeDefined();
  });

  test('is nowhere when there is no place for it, and nobody hears of that', () => {
    const image = makeImage();
    chmodSync(dirname(program), 0o777);
    chmodSync(home, 0o777);
    expect(run(['img', 'info', image]).errors).toBe('');
    expect(existsSync(cacheOfUser())).toBe(false);
  });

  test.each([
    ['ends too early', (bytes: Buffer) => bytes.subarray(0, -100)],
    ['is of another build of V8', (bytes: Buffer) => spoiled(bytes)],
    ['is none', () => Buffer.from('not what it should be')],
    ['is empty', () => Buffer.alloc(0)],
  ])('that %s is not run, and replaced', (_, change) => {
    const image = makeImage();
    const { out } = run(['img', 'info', image]);
    const file = keptIn(beside(), 'img-info')!; // it was kept
    const bad = change(readFileSync(file));
    writeFileSync(file, bad);
    expect(run(['img', 'info', image])).toEqual({ out, errors: '' });
    expect(readFileSync(file).equals(bad)).toBe(false);
    utimesSync(file, 1, 1);
    run(['img', 'info', image]);
    expect(statSync(file).mtimeMs).toBe(1000);
  });

  test('that others could have written is not run', () => {
    const image = makeImage();
    run(['img', 'info', image]);
    const file = keptIn(beside(), 'img-info')!; // it was kept
    chmodSync(file, 0o666);
    run(['img', 'info', image]);
    expect(statSync(file).mode & 0o022).toBe(0);
  });

  test('is kept for each command that succeeds, and for no other word', () => {
    const image = makeImage();
    run(['io', '-c', 'read 0 4k', image]);
    run(['--version']);
    spawnSync(process.execPath, [program, 'img', 'info', 'nowhere'], { env: { HOME: home } });
    spawnSync(process.execPath, [program, '../../escape'], { env: { HOME: home } });
    expect(readdirSync(dirname(keptIn(beside(), 'io')!)).sort()).toEqual(['img-create', 'io']);
  });

  test('is off when Node is told to keep none', () => {
    const image = scratch('off.qcow2');
    const env = { NODE_DISABLE_COMPILE_CACHE: '1' };
    run(['img', 'create', '-q', '-f', 'qcow2', image, '1M'], { env });
    expect(existsSync(beside())).toBe(false);
  });

  test('is not needed: Node loads every chunk by itself', () => {
    const folder = join(dirname(program), 'chunks');
    const chunks = readdirSync(folder).filter((name) => name.endsWith('.cjs') && name !== 'main.cjs');
    const all = chunks.map((name) => `require(${JSON.stringify(join(folder, name))})`).join(';');
    const { status, stderr } = spawnSync(process.execPath, ['-e', all], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const { out } = run(['--version'], { env: { BLOCKYARD_DEBUG: '1' } });
    expect(out).toMatch(/^blockyard \d/);
  });
});

/** V8's own mark at the start of what follows the table. */
function spoiled(bytes: Buffer): Buffer {
  const table = bytes.indexOf('\n') + 1;
  const start = Math.ceil(table / 8) * 8;
  const copy = Buffer.from(bytes);
  copy.fill(0xff, start, start + 16);
  return copy;
}
