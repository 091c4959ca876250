/**
 * Runs a case with the real tools and with ours, in two folders that start out equal, and tells the first difference: in
 * what was printed, in an exit status, in which files there are, in their lengths and contents; or that the real
 * `check` finds fault with an image of ours. Our tools run in this process.
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstDifference } from '../../support/bytes.ts';
import { masked, type Outcome } from '../../support/cli.ts';
import { runOwn } from '../../support/own-tools.ts';
import { ioCommands } from '../../support/qemu.ts';
import type { Case, Step } from './case.ts';
import { adapted } from './differences.ts';
import type { Recipe } from './images.ts';

/** A program that takes longer has hung. */
const timeoutMs = 20_000;

/** Undefined: none. */
export async function findDifference(testCase: Case): Promise<string | undefined> {
  const root = fs.mkdtempSync(join(tmpdir(), 'blockyard-diff-'));
  const theirs = join(root, 'theirs');
  const ours = join(root, 'ours');
  const before = process.cwd();
  try {
    fs.mkdirSync(theirs);
    fs.mkdirSync(ours);
    // Not by copying: what is a hole matters to O_DIRECT.
    for (const recipe of testCase.recipes)
      if (![theirs, ours].every((folder) => prepare(recipe, folder))) return undefined;
    process.chdir(ours);
    for (const step of testCase.steps) {
      const args = [...step.args.slice(), ...ioCommands(...(step.commands ?? []))];
      const [expected, actual] = await Promise.all([runReal(step, args, theirs), runOurs(step, args)]);
      const allowed = adapted(step, expected, actual);
      if (allowed === 'give up') return undefined;
      if (JSON.stringify(allowed) !== JSON.stringify(actual))
        return `${describe(step)}\n  theirs ${JSON.stringify(expected)}\n  ours   ${JSON.stringify(actual)}`;
    }
    return compareFolders(theirs, ours);
  } finally {
    process.chdir(before);
    fs.rmSync(root, { recursive: true, force: true });
  }
}

export function describe({ tool, args, commands = [] }: Step): string {
  const words = [tool, ...args, ...ioCommands(...commands)];
  return words.map((word) => (/^[\w./=:,+-]+$/.test(word) ? word : `'${word}'`)).join(' ');
}

/** False when the real tool does not make such an image. */
function prepare({ image, create, fill }: Recipe, cwd: string): boolean {
  const run = (tool: string, args: string[]): boolean =>
    spawnSync(tool, args, { cwd, stdio: 'ignore' }).status === 0;
  if (create === undefined) {
    fs.writeFileSync(join(cwd, image.name), '');
    fs.truncateSync(join(cwd, image.name), image.bytes);
  } else if (!run('qemu-img', ['create', ...create])) return false;
  if (fill.length === 0) return true;
  const commands = ioCommands(...fill);
  return run('qemu-io', ['-f', image.format, ...commands, image.name]);
}

function runReal({ tool }: Step, args: string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => void (stdout += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => void (stderr += part));
    child.on('error', reject);
    child.on('close', (status) => resolve(masked({ status, stdout, stderr })));
  });
}

async function runOurs({ tool }: Step, args: string[]): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('ours hangs')), timeoutMs);
  });
  try {
    return masked(await Promise.race([runOwn(tool, args), hung]));
  } catch (error) {
    return { status: null, stdout: '', stderr: `internal error: ${(error as Error).stack}` };
  } finally {
    clearTimeout(timer);
  }
}

function compareFolders(theirs: string, ours: string): string | undefined {
  const names = fs.readdirSync(theirs).sort();
  const ourNames = fs.readdirSync(ours).sort();
  if (names.join() !== ourNames.join()) return `files: theirs ${names.join()}, ours ${ourNames.join()}`;
  for (const name of names) {
    const found = compareFiles(name, join(theirs, name), join(ours, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

function compareFiles(name: string, theirs: string, ours: string): string | undefined {
  if (!isQcow2(theirs)) return compareBytes(name, theirs, ours);
  if (!isQcow2(ours)) return `${name}: ours is not qcow2`;
  const [size, ourSize] = [theirs, ours].map(virtualSize);
  if (size !== ourSize) return `${name}: its disk has ${size} bytes, ours ${ourSize}`;
  const real = (...args: string[]): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync('qemu-img', args, {
      encoding: 'utf8',
      cwd: join(ours, '..'),
    });
    return { status, output: `${stdout}${stderr}`.trim() };
  };
  const check = real('check', '-f', 'qcow2', ours);
  if (check.status !== 0 && real('check', '-f', 'qcow2', theirs).status !== check.status)
    return `${name}: qemu-img check of ours: ${check.output}`;
  const compared = real('compare', '-f', 'qcow2', '-F', 'qcow2', theirs, ours);
  if (compared.status === 0) return undefined;
  if (compared.status !== 1 && real('compare', '-f', 'qcow2', '-F', 'qcow2', theirs, theirs).status !== 0)
    return undefined;
  return `${name}: ${compared.output}`;
}

function compareBytes(name: string, theirs: string, ours: string): string | undefined {
  const [expected, actual] = [fs.readFileSync(theirs), fs.readFileSync(ours)];
  if (expected.length !== actual.length)
    return `${name}: has ${expected.length} bytes, ours ${actual.length}`;
  const at = firstDifference(expected, actual);
  return at < 0 ? undefined : `${name}: byte ${at} is ${expected[at]}, ours ${actual[at]}`;
}

function head(path: string): Buffer {
  const buffer = Buffer.alloc(32);
  const file = fs.openSync(path, 'r');
  fs.readSync(file, buffer, 0, buffer.length, 0);
  fs.closeSync(file);
  return buffer;
}

function isQcow2(path: string): boolean {
  return head(path).readUInt32BE(0) === 0x514649fb;
}

function virtualSize(path: string): bigint {
  return head(path).readBigUInt64BE(24);
}
