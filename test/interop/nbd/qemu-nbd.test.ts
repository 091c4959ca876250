/**
 * `blockyard nbd` in place of qemu-nbd: the same complaints about the same command lines, and the programs that people use
 * with it: libnbd's, real QEMU as a client, started by socket activation, several at the same time.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { bundle } from '../../support/cli.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveLibnbd, haveQemu } from '../../support/tools.ts';

const scratch = scratchDirectory();
const execute = promisify(execFile);
const theirs = ['qemu-nbd'];
const ours = [process.execPath, bundle, 'nbd'];

/** Ended by itself with an error, or after a second by us. */
async function complaintOf(program: readonly string[], args: readonly string[]): Promise<string> {
  const [command, ...first] = program;
  const child = spawn(command!, [...first, ...args], { cwd: scratch(''), stdio: ['ignore', 'pipe', 'pipe'] }); // it has a name
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => void (said += text));
  const timer = setTimeout(() => child.kill(), 3000);
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return `${said.replaceAll('blockyard nbd', 'qemu-nbd')}= ${status}`;
}

const socket = (): string => scratch('s');
const long = 'x'.repeat(5000);

const wrongLines: readonly (readonly string[])[] = [
  [],
  ['a', 'b'],
  ['--zz', 'a'],
  ['-x'],
  ['-e', 'x', 'a'],
  ['-e', '-1', 'a'],
  ['-e', '0x2', '/nope'],
  ['-e', '', 'a'],
  ['-p', 'zz', 'a.qcow2'],
  ['-k', 'rel', 'a.qcow2'],
  ['-k', '/nope/x', 'a.qcow2'],
  ['-f', 'zz', 'a.qcow2'],
  ['-f', 'qcow2', '--image-opts', 'a'],
  ['--image-opts', 'driver=qcow2,file.filename=/nope'],
  ['-l', 's2', 'a.qcow2'],
  ['-l', 'snapshot.id=9', 'a.qcow2'],
  ['-l', 'snapshot.zz=9', 'a.qcow2'],
  ['-B', 'nope', '-k', '/nope/x', 'a.qcow2'],
  ['-o', '8M', 'a.qcow2'],
  ['--pid-file=/nonexistent/p', '-p', '10999', 'a.qcow2'],
  ['-o', '2097152', 'a.qcow2'],
  ['-o', '-1', 'a.qcow2'],
  ['-o', 'x', 'a.qcow2'],
  ['--cache=zz', 'a'],
  ['--cache=none', '--cache=none', 'a'],
  ['-n', '--cache=none', 'a'],
  ['--aio=zz', 'a'],
  ['--aio=native', 'a.qcow2'],
  ['--discard=zz', 'a'],
  ['--discard=unmap', '--discard=unmap', 'a'],
  ['--detect-zeroes=zz', 'a'],
  ['--detect-zeroes=unmap', 'a.qcow2'],
  ['--object', 'zz', 'a'],
  ['--handshake-limit', 'x', 'a'],
  ['--handshake-limit', '-1', 'a'],
  ['-x', long, 'a.qcow2'],
  ['-D', long, 'a.qcow2'],
  ['-r', '-f', 'raw', '/nope'],
  ['-s', '-f', 'raw', '/nope'],
  ['-s', '-l', 's1', 'a.qcow2'],
  ['-s', '-B', 'nope', '-k', '/nope/x', 'a.qcow2'],
  ['-s', '-o', '2097152', 'a.qcow2'],
  ['--tls-creds', 'zz', '-k', '/nope/x', '/nope'],
  ['--tls-creds', 'zz', 'a', 'b'],
  ['--tls-creds', 'zz', '-f', 'raw', '--image-opts', 'a'],
  ['--tls-authz', 'zz', '-f', 'raw', '--image-opts', 'a'],
  ['--tls-authz', 'zz', '--tls-hostname', 'zz', 'a'],
  ['--tls-hostname', 'zz', '-k', '/nope/x', 'a.qcow2'],
  ['--object', 'authz-simple,id=a,identity=x', '--tls-creds', 'a', 'a'],
  ['--object', 'tls-creds-anon,id=t', '--tls-creds', 't', 'a'],
  ['--object', 'tls-creds-x509,id=t,dir=/nope', '--tls-creds', 't', 'a'],
  ['-L', '--tls-creds', 'zz'],
  ['-L', '--object', 'tls-creds-anon,id=t,endpoint=server', '--tls-creds', 't'],
  ['-L', '--object', 'tls-creds-anon,id=t', '--tls-creds', 't', '--tls-authz', 'z'],
  ['-L', '--object', 'tls-creds-anon,id=t', '--tls-creds', 't', '-k', '/nope/x'],
  ['-L', '--tls-hostname', 'x', '-k', '/nope/x'],
  ...[
    ['-f', 'raw'],
    ['-l', 'x'],
    ['-A'],
    ['-B', 'b'],
    ['-x', ''],
    ['-o', '5'],
    ['-n'],
    ['--discard=unmap'],
    ['-d'],
  ].map((more) => ['-L', ...more, '-k', '/nope/x']),
  ['-L', '-o', '0', '-s', '-r', '-t', '-k', '/nope/x'],
  ['-L', '--fork', '-k', '/nope/x'],
  ['-L', '--fork', '-x', 'y'],
  ['-L', '-x', 'y', '--tls-creds', 'zz'],
  ['-L', '--fork', '--tls-creds', 'zz'],
  ['-L', '-d', '/nope/nbd0'],
  ['-d', '/nope/nbd0'],
  ['-d', '/'],
  ['-d', '-o', '5', '/nope/nbd0'],
  ['-d', '--tls-creds', 'zz', '/nope/nbd0'],
  ['-d'],
  ['-d', 'a', 'b'],
  ['-c', '/nope/nbd0', '/nope'],
  ['-c', '/nope/nbd0', '-f', 'qcow2', 'a.qcow2'],
  ['-c', '/nope/nbd0', '-l', 's1', '-f', 'qcow2', 'a.qcow2'],
  ['-c', '/nope/nbd0', '-B', 'zz', '-f', 'qcow2', 'a.qcow2'],
  ['-c', '/nope/nbd0', '--tls-creds', 'zz', 'a.qcow2'],
  ['-c', '/nope/nbd0'],
];

describe.skipIf(!haveQemu)('a command line that is wrong', () => {
  beforeAll(() => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('a.qcow2'), '1M');
    run('qemu-img', 'snapshot', '-c', 's1', scratch('a.qcow2'));
  });

  test.each(wrongLines.map((line) => [line.join(' ').slice(0, 60), line] as const))('%s', async (_, line) => {
    const [real, own] = await Promise.all([complaintOf(theirs, line), complaintOf(ours, line)]);
    expect(own).toBe(real);
  });
});

/** Runs `blockyard nbd` on the socket until `use` is done. */
async function serving<T>(args: readonly string[], use: (child: ChildProcess) => Promise<T>): Promise<T> {
  const child = spawn(process.execPath, [bundle, 'nbd', '-k', socket(), ...args], { stdio: 'inherit' });
  try {
    await vi.waitUntil(() => existsSync(socket()), { timeout: 10_000, interval: 10 });
    return await use(child);
  } finally {
    if (child.exitCode === null && child.kill()) await once(child, 'exit');
    expect(existsSync(socket())).toBe(false);
  }
}

const uri = (): string => `nbd+unix:///?socket=${socket()}`;

describe.skipIf(!haveQemu || !haveLibnbd)('clients', () => {
  let image: string;
  let raw: string;
  beforeAll(() => {
    [image, raw] = [scratch('disk.qcow2'), scratch('disk.raw')];
    writeFileSync(raw, Buffer.from(Array.from({ length: 3 << 20 }, (_, at) => (at >> 16) % 7)));
    run('qemu-img', 'convert', '-O', 'qcow2', raw, image);
    for (const name of ['b0', 'b1']) run('qemu-img', 'bitmap', '--add', image, name);
    run('qemu-io', '-c', 'write -P 5 1M 64k', image);
    run('qemu-io', '-f', 'raw', '-c', 'write -P 5 1M 64k', raw);
    for (const name of ['b0', 'b1']) run('qemu-img', 'bitmap', '--disable', image, name);
  });

  test('nbdcopy reads all of it by many connections, and the server ends with the last', async () => {
    await serving(['-e', '4', '-r', '-f', 'qcow2', image], async (child) => {
      await execute('nbdcopy', [uri(), scratch('copy.raw')]);
      if (child.exitCode === null) await once(child, 'exit');
    });
    expect(readFileSync(scratch('copy.raw')).equals(readFileSync(raw))).toBe(true);
  });

  test('nbdcopy writes an image that QEMU finds sound', async () => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('written.qcow2'), '3M');
    await serving(['-t', '-e', '0', '-f', 'qcow2', scratch('written.qcow2')], () =>
      execute('nbdcopy', ['--flush', raw, uri()]),
    );
    run('qemu-img', 'check', '-q', scratch('written.qcow2'));
    run('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', raw, scratch('written.qcow2'));
  });

  test('libnbd starts it by a socket that is listened on already', async () => {
    const { stdout } = await execute('nbdinfo', [
      '--size',
      '--',
      '[',
      ...ours,
      '-f',
      'qcow2',
      '-r',
      image,
      ']',
    ]);
    expect(stdout).toBe(`${3 << 20}\n`);
  });

  test('nbdinfo tells of it and of its maps what it tells of qemu-nbd', async () => {
    const options = [
      '-t',
      '-e',
      '0',
      '-r',
      '-f',
      'qcow2',
      '-A',
      '-B',
      'b0',
      '-B',
      'b1',
      '-x',
      'disk',
      '-D',
      'a disk',
      image,
    ];
    const named = `nbd+unix:///disk?socket=${socket()}`;
    const questions = [
      ['--list'],
      ['--json'],
      ['--map'],
      ['--map=qemu:allocation-depth'],
      ['--map=qemu:dirty-bitmap:b1'],
    ];
    const ask = async (): Promise<string[]> =>
      Promise.all(questions.map(async (question) => (await execute('nbdinfo', [...question, named])).stdout));
    const own = await serving(options, ask);
    const real = spawn('qemu-nbd', ['-k', socket(), ...options], { stdio: 'inherit' });
    try {
      await vi.waitUntil(() => existsSync(socket()), { timeout: 10_000, interval: 10 });
      expect(own).toEqual(await ask());
    } finally {
      if (real.kill()) await once(real, 'exit');
    }
  });

  test('QEMU reads, writes, compares and converts through it', async () => {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('used.qcow2'), '3M');
    await serving(['-t', '-e', '3', '-f', 'qcow2', '--discard=unmap', scratch('used.qcow2')], async () => {
      await execute('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', raw, uri()]);
      const { stdout } = await execute('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', raw, uri()]);
      expect(stdout).toBe('Images are identical.\n');
      const commands = [
        'write -P 9 5k 3k',
        'write -z -u 1M 64k',
        'discard 2M 64k',
        'flush',
        'read -P 9 5k 3k',
      ];
      const io = await execute('qemu-io', ['-f', 'raw', ...commands.flatMap((one) => ['-c', one]), uri()]);
      expect(io.stdout).not.toContain('failed');
    });
    run('qemu-img', 'check', '-q', scratch('used.qcow2'));
    run('qemu-io', '-c', 'read -P 9 5k 3k', '-c', 'read -P 0 1M 64k', scratch('used.qcow2'));
  });

  test('part of an image, and an internal snapshot of one', async () => {
    await serving(['-f', 'raw', '-o', '1048576', raw], () =>
      execute('nbdcopy', [uri(), scratch('part.raw')]),
    );
    expect(readFileSync(scratch('part.raw')).equals(readFileSync(raw).subarray(1 << 20))).toBe(true);
    run('qemu-img', 'snapshot', '-c', 'then', image);
    run('qemu-io', '-c', 'write -P 77 0 3M', image);
    await serving(['-l', 'then', image], () => execute('nbdcopy', [uri(), scratch('then.raw')]));
    expect(readFileSync(scratch('then.raw')).equals(readFileSync(raw))).toBe(true);
  });

  test('what they write is gone afterwards, where that is wanted', async () => {
    const before = readFileSync(image);
    await serving(['-s', '-f', 'qcow2', image], async () => {
      const commands = ['write -P 99 4k 8k', 'read -P 99 4k 8k'].flatMap((one) => ['-c', one]);
      const { stdout } = await execute('qemu-io', ['-f', 'raw', ...commands, uri()]);
      expect(stdout).not.toContain('failed');
    });
    expect(readFileSync(image).equals(before)).toBe(true);
  });

  test('in the background, with a file that says who it is', async () => {
    const pidFile = join(scratch(''), 'pid');
    await execute(process.execPath, [
      bundle,
      'nbd',
      '--fork',
      '-t',
      `--pid-file=${pidFile}`,
      '-k',
      socket(),
      '-f',
      'raw',
      raw,
    ]);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    try {
      const { stdout } = await execute('nbdinfo', ['--size', uri()]);
      expect(stdout).toBe(`${3 << 20}\n`);
    } finally {
      process.kill(pid);
      await vi.waitUntil(() => !existsSync(socket()), { timeout: 10_000 });
    }
  });
});
