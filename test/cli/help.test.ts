/** Help of every command, what an unknown one is told, and that only what was asked for runs. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { commands } from '../../host/cli/commands.ts';
import { commands as imageCommands } from '../../host/cli/img/commands.ts';
import { nearest } from '../../host/cli/shared/nearest.ts';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const built = (name: string): string => resolve(bundle, '..', name);

function run(program: string, ...argv: string[]): { status: number | null; out: string; error: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...argv], {
    encoding: 'utf8',
  });
  return { status, out: stdout, error: stderr };
}

describe('help', () => {
  test.each(commands.map(({ name }) => name))('is there for %s, by either way', (name) => {
    const help = run(bundle, name, '--help');
    expect([help.status, help.error]).toEqual([0, '']);
    expect(help.out).toMatch(new RegExp(`usage: blockyard ${name} `, 'i'));
    expect(run(bundle, 'help', name)).toEqual(help);
  });

  test('is there for each command of img by itself', () => {
    const { status, out } = run(bundle, 'help', 'img', 'convert');
    expect(status).toBe(0);
    expect(out).toMatch(/^usage: blockyard img convert .*\n\n.*\n\n {2}-q, --quiet /);
    expect(out).toMatch(/^ {2}--atomic +\w/m);
    expect(run(bundle, 'img', 'convert', '--help').out).toBe(out);
    expect(run(bundle, 'help', 'img', 'snapshot').out).toMatch(/^ {2}-a, --apply SNAPSHOT\n? +\w/m);
    expect(out).toMatch(/^ {2}--trace /m);
    for (const { help } of imageCommands) expect(help).not.toBe('');
    expect(run(bundle, 'help', 'img').out).toBe(run(bundle, 'img', '--help').out);
  });

  test('is there for the benchmark', () => {
    const { status, out, error } = run(built('bench.js'), '--help');
    expect([status, error]).toEqual([0, '']);
    expect(out).toMatch(/^Usage: npm run bench -- /);
  });
});

describe('a command that there is not', () => {
  test('is told what is near', () => {
    expect(run(bundle, 'storag-deamon')).toEqual({
      status: 1,
      out: '',
      error:
        "blockyard: Command not found: storag-deamon\nDid you mean 'storage-daemon'? 'blockyard help' lists all commands.\n",
    });
    expect(run(bundle, 'img', 'convrt').error).toContain("not found: convrt. Did you mean 'convert'?\n");
    expect(run(bundle, 'copy-all').error).toContain('not found: copy-all\nUsage: blockyard COMMAND');
    expect(run(bundle, 'help', 'wbe').error).toContain("Did you mean 'web'?");
  });

  test.each([
    ['convert', 'convert'],
    ['conv', 'convert'],
    ['covnert', 'convert'],
    ['chekc', 'check'],
    ['co', undefined],
    ['', undefined],
    ['zzz', undefined],
  ])('%j is near to %j', (word, name) => {
    expect(nearest(word, ['check', 'commit', 'compare', 'convert', 'create'])).toBe(name);
  });
});

test('who loads the library starts no command', () => {
  const load = `await import(${JSON.stringify(pathToFileURL(built('index.js')).href)})`;
  expect(run('--input-type=module', '-e', load)).toEqual({ status: 0, out: '', error: '' });
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  'the demo leaves nothing behind when %s ends it',
  async (signal) => {
    const folder = scratch(signal);
    mkdirSync(folder);
    const demo = spawn(process.execPath, [bundle, 'demo'], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // It goes on to be read: a program whose output nobody takes ends by that.
    await new Promise<void>((resolve) => {
      demo.stdout.on('data', (chunk) => String(chunk).includes('each disk holds') && resolve());
    });
    expect(readdirSync(folder)).toHaveLength(1);
    demo.kill(signal);
    expect(await once(demo, 'exit')).toEqual([128 + constants.signals[signal], null]);
    expect(readdirSync(folder)).toEqual([]);
  },
);
