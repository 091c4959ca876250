/** The storage daemon as a process of its own: what only the built program shows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readlinkSync, watch, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { dirname, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const quit = '{"execute":"qmp_capabilities"}{"execute":"quit"}';

function start(cwd: string, ...words: string[]): ChildProcess {
  const child = spawn(process.execPath, [bundle, 'storage-daemon', ...words], { cwd });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Exit status and what was said, when all of the output has ended. */
async function outcome(child: ChildProcess): Promise<{ status: number | null; errors: string }> {
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  child.stdout!.resume();
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, errors };
}

/** Waits until the file is there, or is gone. */
async function fileBecomes(path: string, isThere: boolean): Promise<void> {
  const watcher = watch(dirname(path));
  const isSo = (): boolean =>
    existsSync(path) === isThere && (!isThere || readFileSync(path, 'utf8').endsWith('\n'));
  while (!isSo()) await once(watcher, 'change');
  watcher.close();
}

function folder(name: string): string {
  mkdirSync(scratch(name));
  return scratch(name);
}

test('in the background it is ready when the parent leaves, and takes its relative pidfile away', async () => {
  const cwd = folder('background');
  const socket = 'socket,id=c,path=s,server=on,wait=off';
  const parent = start(cwd, '--chardev', socket, '--monitor', 'c', '--pidfile', 'p', '--daemonize');
  expect(await outcome(parent)).toEqual({ status: 0, errors: '' });
  const pid = Number(readFileSync(resolve(cwd, 'p'), 'utf8'));
  let hasQuit = false;
  onTestFinished(() => void (hasQuit || process.kill(pid, 'SIGKILL')));
  expect(pid).not.toBe(parent.pid);
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
  for (const fd of [0, 1, 2]) expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe('/dev/null');
  const client = net.connect(resolve(cwd, 's'));
  client.end(quit);
  client.resume();
  await once(client, 'close');
  hasQuit = true;
  await fileBecomes(resolve(cwd, 'p'), false);
});

test('in the background, what goes wrong is said on the terminal and fails the parent', async () => {
  const parent = start(folder('failing'), '--blockdev', 'zz,node-name=a', '--daemonize');
  expect(await outcome(parent)).toEqual({
    status: 1,
    errors:
      "blockyard storage-daemon: --blockdev zz,node-name=a: Parameter 'driver' does not accept value 'zz'\n",
  });
});

test('one that fails leaves the pidfile of another alone', async () => {
  const cwd = folder('other');
  writeFileSync(resolve(cwd, 'p'), '1\n');
  const { status } = await outcome(start(cwd, '--pidfile', 'p', '--monitor', 'nobody'));
  expect(status).toBe(1);
  expect(readFileSync(resolve(cwd, 'p'), 'utf8')).toBe('1\n');
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends the process with 0', async (signal) => {
  const cwd = folder(signal);
  const child = start(cwd, '--blockdev', 'null-co,node-name=a', '--pidfile', 'p');
  const ended = outcome(child);
  await fileBecomes(resolve(cwd, 'p'), true);
  child.kill(signal);
  expect(await ended).toEqual({ status: 0, errors: '' });
  expect(existsSync(resolve(cwd, 'p'))).toBe(false);
});

test('on standard input and output it answers and quits', async () => {
  const child = start(folder('stdio'), '--chardev', 'stdio,id=c', '--monitor', 'c');
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stdin!.write(quit);
  expect(await outcome(child)).toEqual({ status: 0, errors: '' });
  const lines = output.trimEnd().split('\r\n');
  expect(lines.map((line) => Object.keys(JSON.parse(line)))).toEqual([['QMP'], ['return'], ['return']]);
});
