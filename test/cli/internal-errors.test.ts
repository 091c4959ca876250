/**
 * What programs do about bugs of their own: they say so in two lines without a stack, close their images when they serve
 * any, and exit with 70. The bugs are those of test/support/bugs.cjs, in processes of their own.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { runDaemon } from '../../host/cli/shared/daemon.ts';
import { Tool } from '../../host/cli/shared/tool.ts';
import { bugs as reports, version } from '../../package.json';
import { bundle } from '../support/cli.ts';
import { MonitorClient } from '../support/monitor-client.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';

const scratch = scratchDirectory();
const bugs = resolve(import.meta.dirname, '../support/bugs.cjs');
const report = `This is a bug in blockyard ${version}. Please report it at ${reports.url}, with what led to it`;
const said = (name: string, message = 'TypeError: made up'): string =>
  `blockyard ${name}: internal error: ${message}\n${report} and what BLOCKYARD_DEBUG=1 shows.\n`;

interface Started {
  child: ChildProcess;
  output(): string;
  ended: Promise<{ status: number | null; errors: string }>;
}

function start(args: readonly string[], env: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, ['--require', bugs, bundle, ...args], {
    env: { ...process.env, ...env },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, errors }));
  return { child, output: () => output, ended };
}

let names = 0;

function sourceFile(): string {
  writeFileSync(scratch('source'), new Uint8Array(diskBytes).fill(pattern));
  return scratch('source');
}

const diskBytes = 8 << 20;
const pattern = 7;

function emptyImage(): string {
  const path = scratch(`image${names++}`);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(diskBytes)]);
  return path;
}

/** Whether what was written can be found in it: its metadata is written when it is closed. */
function isWritten(path: string): boolean {
  const read = ['-r', '-f', 'qcow2', '-c', `read -P ${pattern} 0 64k`, path];
  return spawnSync('qemu-io', read, { stdio: 'ignore' }).status === 0;
}

/** Programs that serve, on a qcow2 image that is written to. */
interface Served {
  isThere: boolean;
  options(image: string, socket: string): string[];
  write: readonly object[];
}

const chardev = (socket: string): string => `socket,id=c,path=${socket},server=on,wait=off`;
// Requests by threads: what is made of them by Node can be kept from coming to an end.
const qcow2 = (image: string): string =>
  `qcow2,node-name=disk,file.driver=file,file.aio=threads,file.filename=${image}`;
const machine = {
  options: (image: string, socket: string) => [
    ...['-blockdev', qcow2(image), '-device', 'ide-hd,drive=disk,id=hd,bus=ide.0,share-rw=on'],
    ...['-chardev', chardev(socket), '-mon', 'chardev=c,mode=control'],
  ],
  write: [
    {
      execute: 'human-monitor-command',
      arguments: { 'command-line': `qemu-io -d hd "write -P ${pattern} 0 2M"` },
    },
  ],
};

const served: Readonly<Record<string, Served>> = {
  'storage-daemon': {
    isThere: haveQemu,
    options: (image, socket) => [
      ...['--blockdev', `file,node-name=source,filename=${sourceFile()}`, '--blockdev', qcow2(image)],
      ...['--chardev', chardev(socket), '--monitor', 'c'],
    ],
    // It writes the first part, and goes on when the bug shows.
    write: [
      {
        execute: 'blockdev-mirror',
        arguments: { 'job-id': 'job', device: 'source', target: 'disk', sync: 'full', speed: 1 << 20 },
      },
    ],
  },
  system: {
    ...machine,
    isThere: haveQemu,
    options: (...where) => ['-nodefaults', ...machine.options(...where)],
  },
  vm: {
    ...machine,
    isThere: haveQemu && installedV86 !== undefined,
    options: (...where) => ['-m', '16', '-S', '-serial', 'none', ...machine.options(...where)],
  },
};

/** The program with an image that has been written and is not closed, and a client. */
async function serve(
  name: string,
  { options, write }: Served,
  env?: Record<string, string>,
): Promise<Started & { image: string; socket: string; client: MonitorClient }> {
  const [image, socket] = [emptyImage(), scratch(`s${names++}`)];
  const started = start([name, ...options(image, socket)], env);
  let hasEnded = false;
  void started.ended.then(() => {
    hasEnded = true;
  });
  const client = await MonitorClient.connect({ path: socket }, () => hasEnded);
  client.say([{ execute: 'qmp_capabilities' }, ...write].map((command) => JSON.stringify(command)).join(''));
  await client.until(/"return".*"return"/s);
  await expect.poll(() => statSync(image).size).toBeGreaterThan(1 << 20);
  return { ...started, image, socket, client };
}

function expectSound(image: string): void {
  expect(execFileSync('qemu-img', ['check', image], { encoding: 'utf8' })).toContain('No errors were found');
}

describe.each(Object.entries(served))('an internal error of %s', (name, program) => {
  describe.skipIf(!program.isThere)('while it serves', () => {
    test.each([
      ['thrown', 'SIGUSR2'],
      ['rejected', 'SIGWINCH'],
    ] as const)(
      'that is %s where nobody catches it closes the images and ends the program',
      async (_how, signal) => {
        const { child, ended, image, client } = await serve(name, program);
        child.kill(signal);
        expect(await ended).toEqual({ status: 70, errors: said(name) });
        await client.all();
        expectSound(image);
        expect(isWritten(image)).toBe(true);
      },
    );

    test('would lose what was written without the closing, as when it is killed', async () => {
      const { child, ended, image } = await serve(name, program);
      child.kill('SIGKILL');
      await ended;
      expect(isWritten(image)).toBe(false);
    });

    test('in a command of a client ends the session of that client and nothing else', async () => {
      const { child, ended, image, client, socket } = await serve(name, program);
      const filename = scratch('bug-throws');
      const args = { driver: 'file', filename, 'node-name': 'bug' };
      client.say(JSON.stringify({ execute: 'blockdev-add', arguments: args }));
      await client.all();
      const other = await MonitorClient.connect({ path: socket }, () => false);
      other.say('{"execute":"qmp_capabilities"}{"execute":"query-version"}{"execute":"quit"}');
      await other.until(/"qemu".*"return"/s);
      expect(await ended).toEqual({ status: 0, errors: said(name) });
      expect(child.exitCode).toBe(0);
      expectSound(image);
      expect(isWritten(image)).toBe(true);
    });

    test('in its command line closes the images and ends the program without a greeting', async () => {
      const [image, socket] = [emptyImage(), scratch(`s${names++}`)];
      const last = name === 'storage-daemon' ? '--blockdev' : '-drive';
      const value =
        last === '-drive'
          ? `if=none,file=${scratch('bug-throws')}`
          : `file,node-name=bug,filename=${scratch('bug-throws')}`;
      const { ended } = start([name, ...program.options(image, socket), last, value]);
      expect(await ended).toEqual({ status: 70, errors: said(name) });
      expectSound(image);
    });

    test('fails the parent in the same way in the background', async () => {
      const last = name === 'storage-daemon' ? '--blockdev' : '-blockdev';
      const value = `file,node-name=bug,filename=${scratch('bug-throws')}`;
      // Only what the program itself is started with reaches its child.
      const daemonize = last.replace('blockdev', 'daemonize');
      const { ended } = start([name, ...(name === 'vm' ? ['-m', '16'] : []), last, value, daemonize]);
      expect(await ended).toEqual({ status: 70, errors: said(name) });
    });
  });
});

test.skipIf(!haveQemu)(
  'an internal error ends a program although what that has open cannot be closed',
  async () => {
    const { child, ended } = await serve('system', served['system']!);
    child.kill('SIGCONT');
    child.kill('SIGUSR2');
    expect(await ended).toEqual({
      status: 70,
      errors: `${said('system')}blockyard system: what was open could not be closed in time\n`,
    });
  },
);

describe('an internal error of a tool', () => {
  const file = (kind: string): string => scratch(`bug-${kind}`);

  test.each([
    ['img', ['img', 'info', '-f', 'raw', file('throws')]],
    ['io', ['io', '-f', 'raw', '-c', 'length', file('throws')]],
  ])('is said by %s in two lines, and is the exit status', async (name, args) => {
    expect(await start(args).ended).toEqual({ status: 70, errors: said(name) });
  });

  test.each([
    ['img', ['img', 'info', '-f', 'raw', file('hangs')]],
    ['io', ['io', '-f', 'raw', '-c', 'length', file('hangs')]],
  ])('that leaves %s with nothing to wait for is one, too', async (name, args) => {
    expect(await start(args).ended).toEqual({
      status: 70,
      errors: said(name, 'Error: nothing is left to wait for'),
    });
  });

  test.each([
    ['io', ['io'], 'blockyard io> '],
    ['web', ['web', '--port', '0'], 'blockyard is at '],
  ])('that nobody catches ends %s', async (name, args, ready) => {
    const { child, output, ended } = start(args);
    await expect.poll(output).toContain(ready);
    child.kill('SIGUSR2');
    expect(await ended).toEqual({ status: 70, errors: said(name) });
  });

  test('comes with its stack, as in the source, when BLOCKYARD_DEBUG is set', async () => {
    const { errors } = await start(['img', 'info', '-f', 'raw', file('throws')], { BLOCKYARD_DEBUG: '1' })
      .ended;
    expect(errors).toContain(
      `blockyard img: internal error: TypeError: made up\n${report}.\nTypeError: made up\n`,
    );
    expect(errors).toMatch(/ at .*host\/platform\/node\/files\.ts:\d+:\d+/);
    expect(errors).toMatch(/ at .*host\/cli\/img\/info\.ts:\d+:\d+/);
  });
});

describe('a daemon in this process', () => {
  function run(daemon: { start?(): Promise<void>; close?(): Promise<void> }): {
    status: Promise<number>;
    errors(): string;
  } {
    let errors = '';
    const tool = new Tool('daemon', { out: () => {}, error: (text) => void (errors += text) });
    const status = runDaemon(tool, {
      start: async () => {},
      whenEnded: Promise.resolve(),
      stop: async () => {},
      close: async () => {},
      ...daemon,
    });
    return { status, errors: () => errors };
  }

  test('that has a bug in its start and one in its close tells of both, and ends', async () => {
    const { status, errors } = run({
      start: () => Promise.reject(new Error('first')),
      close: () => Promise.reject(new Error('second')),
    });
    expect(await status).toBe(70);
    expect(errors().match(/internal error: .*/g)).toEqual([
      'internal error: Error: first',
      'internal error: Error: second',
    ]);
  });

  test('that has a bug in its close alone tells of it once', async () => {
    const { status, errors } = run({ close: () => Promise.reject(new Error('only')) });
    expect(await status).toBe(70);
    expect(errors().match(/internal error: .*/g)).toEqual(['internal error: Error: only']);
  });

  test('whose close never ends after a bug is waited for no longer than a bound', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { status, errors } = run({
      start: () => Promise.reject(new Error('first')),
      close: () => new Promise(() => {}),
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await status).toBe(70);
    expect(errors()).toContain('daemon: what was open could not be closed in time\n');
  });
});
