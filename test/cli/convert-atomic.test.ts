/** `img convert --atomic`: the target is there whole, or as it was, and nothing else is left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundle, type Outcome } from '../support/cli.ts';
import { runOwn } from '../support/own-tools.ts';

const before = 'what was there before';
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockyard-atomic-'));
  writeFileSync(path('source.raw'), new Uint8Array(256 << 10).fill(7));
  writeFileSync(path('target'), before);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string): string => join(folder, name);
const convert = (...args: string[]): Promise<Outcome> => runOwn('qemu-img', ['convert', '--atomic', ...args]);

function expectUntouched(): void {
  expect(readdirSync(folder).sort()).toEqual(['source.raw', 'target']);
  expect(readFileSync(path('target'), 'utf8')).toBe(before);
}

describe('convert --atomic', () => {
  test('puts the image in the place of what was there, with its permissions', async () => {
    chmodSync(path('target'), 0o640);
    const outcome = await convert('-f', 'raw', '-O', 'qcow2', path('source.raw'), path('target'));
    expect(outcome).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(path('target')).subarray(0, 3).toString()).toBe('QFI');
    expect(statSync(path('target')).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder).sort()).toEqual(['source.raw', 'target']);
  });

  test('makes an image that was not there', async () => {
    const outcome = await convert('-f', 'raw', path('source.raw'), path('new'));
    expect(outcome.status).toBe(0);
    expect(readFileSync(path('new')).equals(readFileSync(path('source.raw')))).toBe(true);
  });

  test('converts an image in its own place', async () => {
    const outcome = await convert('-f', 'raw', '-O', 'qcow2', path('source.raw'), path('source.raw'));
    expect(outcome).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(path('source.raw')).subarray(0, 3).toString()).toBe('QFI');
  });

  test.each([
    [
      'options that cannot be',
      ['-O', 'qcow2', '-o', 'cluster_size=3'],
      'error while converting qcow2: Cluster size',
    ],
    ['an option that does not go with it', ['-n'], '--atomic makes the target anew'],
    ['a bitmap that has no place', ['--bitmaps'], 'Source lacks bitmap support'],
  ])('leaves what was there after %s', async (_what, args, words) => {
    const outcome = await convert(...args, '-f', 'raw', path('source.raw'), path('target'));
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain(words);
    expectUntouched();
  });

  test('leaves what was there when the source cannot be read to its end', async () => {
    const source = `driver=blkdebug,image.driver=file,image.filename=${path('source.raw')},inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=300`;
    const outcome = await convert('--image-opts', source, path('target'));
    expect(outcome.stderr).toContain('error while reading at byte');
    expectUntouched();
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('leaves what was there when %s ends it', async (signal, status) => {
    const args = ['img', 'convert', '--atomic', '-r', '20k', '-f', 'raw', path('source.raw'), path('target')];
    const child = spawn(process.execPath, [bundle, ...args]);
    while (readdirSync(folder).length === 2) await sleep(10);
    child.kill(signal);
    const [code, killedBy] = (await once(child, 'exit')) as [number | null, string | null];
    expect([code ?? status, killedBy ?? signal]).toEqual([status, signal]);
    expectUntouched();
  });

  test('puts no file in the place of a link or a folder', async () => {
    symlinkSync('target', path('link'));
    const { stderr } = await convert('-f', 'raw', path('source.raw'), path('link'));
    expect(stderr).toContain(`'${path('link')}' is not a regular file`);
    expect((await convert('-f', 'raw', path('source.raw'), folder)).stderr).toContain('Is a directory');
    rmSync(path('link'));
    expectUntouched();
  });

  test('names the target, not the temporary file, where it cannot be made', async () => {
    const { stderr } = await convert('-f', 'raw', path('source.raw'), path('nowhere/target'));
    expect(stderr).toContain(`Could not create '${path('nowhere/target')}': No such file or directory`);
  });
});
