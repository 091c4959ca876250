/**
 * `--daemonize` and `--pidfile` of the real programs and of ours: what the parent says and exits with, what is there by then, and
 * who may have the same pidfile at the same time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';

const scratch = scratchDirectory();
let folders = 0;

type Program = 'system' | 'storage-daemon';

const real: Readonly<Record<Program, string>> = {
  system: 'qemu-system-x86_64',
  'storage-daemon': 'qemu-storage-daemon',
};
const bare: Readonly<Record<Program, readonly string[]>> = {
  system: ['-nodefaults', '-display', 'none', '-machine', 'none'],
  'storage-daemon': [],
};

function folder(): string {
  const path = scratch(String(folders++));
  mkdirSync(path);
  return path;
}

const pidIn = (cwd: string): number | undefined =>
  existsSync(join(cwd, 'p')) ? Number(readFileSync(join(cwd, 'p'), 'utf8')) : undefined;

function start(program: Program, isReal: boolean, words: readonly string[], cwd: string): ChildProcess {
  const all = [...bare[program], ...words];
  const [command, args] = isReal ? [real[program], all] : [process.execPath, [bundle, program, ...all]];
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(() => {
    const pid = pidIn(cwd);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  });
  return child;
}

/** What a parent says and exits with, and whether somebody stays behind who answers. */
async function outcome(program: Program, isReal: boolean, words: readonly string[], cwd = folder()) {
  const child = start(program, isReal, words, cwd);
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  const greeting = existsSync(join(cwd, 's')) ? await firstLine(join(cwd, 's')) : undefined;
  errors = errors.replaceAll(`blockyard ${program}`, real[program]);
  return { status, errors, hasPid: pidIn(cwd) !== undefined, isGreeted: greeting?.startsWith('{"QMP"') };
}

async function firstLine(path: string): Promise<string> {
  const client = net.connect(path);
  const [data] = (await once(client, 'data')) as [Buffer];
  client.destroy();
  return data.toString();
}

const socket = 'socket,path=s,server=on,wait=off';

const commandLines: readonly (readonly [Program, readonly string[]])[] = [
  ['system', ['-pidfile', 'p', '-qmp', 'unix:path=s,server=on,wait=off']],
  ['system', ['-pidfile', 'p', '-qmp', 'stdio']],
  ['system', ['-pidfile', '/nonexistent/p']],
  ['system', ['-pidfile', '.']],
  ['system', ['-pidfile', 'p', '-drive', 'if=none,file=nonexistent']],
  ['system', ['-pidfile', 'p', '-loadvm', 'x']],
  ['system', ['-pidfile', 'p', '-serial', 'stdio']],
  ['storage-daemon', ['--pidfile', 'p', '--chardev', `${socket},id=c`, '--monitor', 'c']],
  ['storage-daemon', ['--pidfile', 'p', '--chardev', 'stdio,id=c']],
  ['storage-daemon', ['--pidfile', '/nonexistent/p']],
  ['storage-daemon', ['--pidfile', '.']],
  ['storage-daemon', ['--pidfile', 'p', '--blockdev', 'file,filename=nonexistent,node-name=n']],
  ['storage-daemon', ['--pidfile', 'p', '--monitor', 'nobody']],
  ['storage-daemon', ['--pidfile', 'p', 'extra']],
];

describe.skipIf(!haveQemu || !haveQemuSystem)('in the background', () => {
  test.each(commandLines)('%s %j', async (program, words) => {
    const all = [...words, program === 'system' ? '-daemonize' : '--daemonize'];
    const [expected, actual] = await Promise.all([outcome(program, true, all), outcome(program, false, all)]);
    expect(actual).toEqual(expected);
  });

  test.each([
    ['system', true, false],
    ['system', false, true],
    ['storage-daemon', true, false],
    ['storage-daemon', false, true],
  ] as const)('%s: a pidfile has one owner (%s, then %s)', async (program, first, second) => {
    const cwd = folder();
    const words = ['--pidfile', 'p', '--daemonize'];
    expect(await outcome(program, first, words, cwd)).toMatchObject({ status: 0, errors: '' });
    const owner = pidIn(cwd);
    expect(await outcome(program, second, words, cwd)).toMatchObject({
      status: 1,
      errors: `${real[program]}: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable\n`,
    });
    expect(pidIn(cwd)).toBe(owner);
  });
});
