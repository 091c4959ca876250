/**
 * Our NBD client with other people's servers: qemu-nbd and nbdkit, whose filters delay, fail, refuse and know less; servers
 * that are killed and come back; and our jobs to and from what servers export, up to a backup that our own client pulls.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { QmpChild } from '../../../bench/qmp.ts';
import { BlockError } from '../../../host/base/errors.ts';
import type { BlockBackend } from '../../../host/block/backend.ts';
import { drivers } from '../../../host/drivers.ts';
import { createGraph } from '../../../host/graph.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { Prng } from '../../../host/platform/sim/prng.ts';
import { checkAgainstModel, checkBounds, checkExtents, checkZeroes } from '../../conformance/checks.ts';
import { attachAlone, readWriteResize } from '../../support/attach.ts';
import { bundle } from '../../support/cli.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveNbdkit, haveQemu } from '../../support/tools.ts';

const execute = promisify(execFile);
const scratch = scratchDirectory();
const socket = (): string => scratch('server');
const uri = (name: string): string => `nbd+unix://${name === '' ? '' : `/${name}`}?socket=${socket()}`;

let server: ChildProcess | undefined;

/** Starts it, and settles when it takes connections. It may be told by a socket that a killed one has left. */
async function serve(program: string, ...args: string[]): Promise<void> {
  rmSync(socket(), { force: true });
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => void (said += text));
  server = child;
  await vi.waitUntil(
    async () => {
      if (child.exitCode !== null) throw new Error(`${program} has ended: ${said}`);
      return answers();
    },
    { timeout: 10_000, interval: 10 },
  );
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket(), () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', () => resolve(false));
  });
}

async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const child = server;
  server = undefined;
  if (child && child.exitCode === null && child.kill(signal)) await once(child, 'exit');
}

afterEach(() => stop());

async function opened(options: object, body: (disk: BlockBackend) => Promise<void>): Promise<void> {
  const graph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.open({ driver: 'nbd', path: socket(), discard: 'unmap', ...options });
  const disk = await attachAlone(node, readWriteResize);
  try {
    await body(disk);
  } finally {
    await disk.close();
  }
  expect(graph.nodes()).toEqual([]);
}

async function checkAll(disk: BlockBackend): Promise<void> {
  const traits = { stores: true };
  await checkBounds(disk);
  await checkAgainstModel(disk, new Prng(1));
  await checkZeroes(disk, traits);
  await checkExtents(disk, traits);
}

/** Of nbdkit: what is before and behind the plugin. */
const kits: Readonly<Record<string, readonly string[]>> = {
  'as it is': [],
  'without structured replies': ['--no-sr'],
  'of the newstyle that answers no options': ['--mask-handshake=0'],
  'one request at a time': ['--filter=noparallel'],
  'one connection at a time': ['--filter=noparallel', '--filter=multi-conn', 'multi-conn-mode=disable'],
  'late, and in any order': ['--filter=delay', 'rdelay=2ms', 'wdelay=1ms'],
  'without writing zeroes': ['--filter=nozero'],
  'with zeroes that are not fast': ['--filter=nozero', 'zeromode=notrim', 'fastzeromode=none'],
  'without extents': ['--filter=noextents'],
  'without FUA': ['--filter=fua', 'fuamode=emulate'],
  'with blocks of 512 bytes and more': ['--filter=blocksize-policy', ...blockSizes(512, 65_536)],
  'with blocks of 4 KiB and more': ['--filter=blocksize-policy', ...blockSizes(4096, 65_536)],
  'that fails, and tries again itself': [
    '--filter=retry-request',
    '--filter=error',
    'retry-request-delay=1',
    'retry-request-retries=5',
    'error-pread-rate=1%',
    'error-pwrite-rate=1%',
  ],
};

function blockSizes(minimum: number, maximum: number): string[] {
  return [
    'blocksize-error-policy=error',
    `blocksize-minimum=${minimum}`,
    `blocksize-preferred=${Math.max(4096, minimum)}`,
    `blocksize-maximum=${maximum}`,
  ];
}

describe.skipIf(!haveNbdkit)('nbdkit', () => {
  function kit(options: readonly string[], plugin = 'memory', size = '1M'): Promise<void> {
    const filters = options.filter((option) => option.startsWith('--'));
    const settings = options.filter((option) => !option.startsWith('--'));
    return serve('nbdkit', '-f', '-U', socket(), ...filters, plugin, size, ...settings);
  }

  test.each(Object.entries(kits))('%s', async (_, options) => {
    await kit(options);
    await opened({}, checkAll);
  });

  test('that fails is told by its errors, and goes on', async () => {
    await kit(['--filter=error', 'error=ENOSPC', 'error-pwrite-rate=50%', 'error-pread-rate=10%']);
    await opened({}, async (disk) => {
      const outcomes = new Map<string, number>();
      for (let at = 0; at < 200; at++) {
        const request =
          at % 2 === 0 ? disk.write(at * 512, new Uint8Array(512)) : disk.read(at * 512, new Uint8Array(512));
        const outcome = await request.then(
          () => 'done',
          (error: unknown) => (error instanceof BlockError ? error.errno : 'bug'),
        );
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      expect([...outcomes.keys()].sort()).toEqual(['ENOSPC', 'done']);
    });
  });
});

describe.skipIf(!haveQemu)('qemu-nbd', () => {
  test.each([
    ['a qcow2 image', 'qcow2', '4'],
    ['a raw file, for one client', 'raw', '1'],
  ])('%s', async (_, format, clients) => {
    run('qemu-img', 'create', '-q', '-f', format, scratch('disk'), '1M');
    await serve(
      'qemu-nbd',
      '-t',
      '-k',
      socket(),
      '-e',
      clients,
      '-f',
      format,
      '--discard=unmap',
      scratch('disk'),
    );
    await opened({}, checkAll);
    await stop();
    if (format === 'qcow2') run('qemu-img', 'check', '-q', scratch('disk'));
  });

  test('is waited for when it is killed: nothing that was written is missing', async () => {
    const bytes = 1 << 20;
    writeFileSync(scratch('disk'), Buffer.alloc(bytes));
    const start = (): Promise<void> =>
      serve('qemu-nbd', '-t', '-k', socket(), '-e', '8', '-f', 'raw', scratch('disk'));
    await start();
    const model = Buffer.alloc(bytes);
    await opened({ 'reconnect-delay': 30 }, async (disk) => {
      const random = new Prng(7);
      for (let kills = 0; kills < 4; kills++) {
        const writes: Promise<void>[] = [];
        for (let at = random.below(4096); at < bytes; at += 4096 + random.below(20_000)) {
          const data = Buffer.alloc(Math.min(4096, bytes - at), 1 + random.below(255));
          model.set(data, at);
          writes.push(disk.write(at, data));
        }
        if (random.below(2) === 0) await writes[writes.length >> 1];
        await stop('SIGKILL');
        await start();
        await Promise.all(writes);
      }
      const all = Buffer.alloc(bytes);
      await disk.read(0, all);
      expect(all.equals(model)).toBe(true);
    });
    await stop();
    expect(readFileSync(scratch('disk')).equals(model)).toBe(true);
  });

  test('images are made on it, and used by both', async () => {
    writeFileSync(scratch('disk'), Buffer.alloc(4 << 20, 9));
    await serve('qemu-nbd', '-t', '-k', socket(), '-e', '8', '-f', 'raw', '-x', 'exp', scratch('disk'));
    const ours = (...args: string[]) => execute(process.execPath, [bundle, 'img', ...args]);
    writeFileSync(scratch('source'), Buffer.from(Array.from({ length: 1 << 20 }, (_, at) => (at >> 16) % 5)));
    await ours('convert', '-f', 'raw', '-O', 'qcow2', scratch('source'), uri('exp'));
    run('qemu-img', 'check', '-q', '-f', 'qcow2', uri('exp'));
    run('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', scratch('source'), uri('exp'));
    const { stdout } = await ours('compare', scratch('source'), '-f', 'raw', '-F', 'qcow2', uri('exp'));
    expect(stdout).toBe('Images are identical.\n');
  });
});

describe.skipIf(!haveQemu)('our daemon', () => {
  const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];
  const diskBytes = 8 << 20;
  let daemon: QmpChild | undefined;

  afterEach(async () => {
    await daemon?.quit();
    daemon = undefined;
  });

  async function startDaemon(): Promise<QmpChild> {
    const data = Buffer.alloc(diskBytes);
    for (let at = 0; at < diskBytes; at += 65_536) data.fill((at / 65_536) * 3, at, at + 65_536);
    writeFileSync(scratch('disk.raw'), data);
    daemon = await QmpChild.start({
      program: process.execPath,
      args: [bundle, 'storage-daemon', ...monitor],
    });
    const file = { driver: 'file', filename: scratch('disk.raw') };
    await daemon.run('blockdev-add', { driver: 'raw', 'node-name': 'disk', file });
    return daemon;
  }

  async function addTarget(qmp: QmpChild): Promise<void> {
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('target.qcow2'), String(diskBytes));
    await serve(
      'qemu-nbd',
      '-t',
      '-k',
      socket(),
      '-e',
      '8',
      '-f',
      'qcow2',
      '-x',
      't',
      scratch('target.qcow2'),
    );
    const remote = { driver: 'nbd', server: { type: 'unix', path: socket() }, export: 't' };
    await qmp.run('blockdev-add', { ...remote, 'node-name': 'target', 'reconnect-delay': 60 });
  }

  test('backs up to a server, and mirrors to one', { timeout: 60_000 }, async () => {
    const qmp = await startDaemon();
    await addTarget(qmp);
    const backedUp = qmp.jobsCompleted(1);
    await qmp.run('blockdev-backup', { 'job-id': 'b', device: 'disk', target: 'target', sync: 'full' });
    await backedUp;
    const ready = qmp.event('BLOCK_JOB_READY');
    await qmp.run('blockdev-mirror', { 'job-id': 'm', device: 'disk', target: 'target', sync: 'full' });
    await ready;
    const mirrored = qmp.jobsCompleted(1);
    await qmp.run('block-job-complete', { device: 'm' });
    await mirrored;
    await qmp.run('blockdev-del', { 'node-name': 'target' });
    await stop();
    run('qemu-img', 'check', '-q', scratch('target.qcow2'));
    run(
      'qemu-img',
      'compare',
      '-q',
      '-f',
      'raw',
      '-F',
      'qcow2',
      scratch('disk.raw'),
      scratch('target.qcow2'),
    );
  });

  test('does not wait for a server that is gone when the job is cancelled', { timeout: 30_000 }, async () => {
    const qmp = await startDaemon();
    await addTarget(qmp);
    await qmp.run('blockdev-backup', {
      'job-id': 'b',
      device: 'disk',
      target: 'target',
      sync: 'full',
      speed: 1 << 20,
    });
    await stop('SIGKILL');
    const cancelled = qmp.event('BLOCK_JOB_CANCELLED');
    await qmp.run('block-job-cancel', { device: 'b', force: true });
    await cancelled;
    await qmp.run('blockdev-del', { 'node-name': 'target' });
  });

  test('exports a point in time and what changed, and our client pulls it', { timeout: 60_000 }, async () => {
    const qmp = await startDaemon();
    const before = readFileSync(scratch('disk.raw'));
    await qmp.run('nbd-server-start', { addr: { type: 'unix', data: { path: socket() } } });
    await qmp.run('block-export-add', { type: 'nbd', id: 'w', 'node-name': 'disk', writable: true });
    await qmp.run('block-dirty-bitmap-add', { node: 'disk', name: 'since' });
    const guest = (offset: string, pattern: string) =>
      execute('qemu-io', ['-f', 'raw', '-c', `write -P ${pattern} ${offset} 128k`, uri('disk')]);
    await guest('1M', '0x55');
    before.fill(0x55, 1 << 20, (1 << 20) + (128 << 10));
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('fleece.qcow2'), String(diskBytes));
    const fleece = { driver: 'file', filename: scratch('fleece.qcow2') };
    await qmp.run('blockdev-add', { driver: 'qcow2', 'node-name': 'fleece', file: fleece, backing: 'disk' });
    await qmp.run('transaction', {
      actions: [
        { type: 'block-dirty-bitmap-disable', data: { node: 'disk', name: 'since' } },
        {
          type: 'blockdev-backup',
          data: { 'job-id': 'f', device: 'disk', target: 'fleece', sync: 'none' },
        },
      ],
    });
    const bitmaps = [{ node: 'disk', name: 'since' }];
    await qmp.run('block-export-add', { type: 'nbd', id: 'f', 'node-name': 'fleece', bitmaps });
    // What the guest writes from now on is not in it.
    await guest('1M', '0x66');
    await guest('4M', '0x66');

    const ours = (...args: string[]) => execute(process.execPath, [bundle, 'img', ...args]);
    await ours('convert', '-f', 'raw', '-O', 'raw', uri('fleece'), scratch('pulled.raw'));
    expect(readFileSync(scratch('pulled.raw')).equals(before)).toBe(true);
    const changed = `driver=nbd,path=${socket()},export=fleece,x-dirty-bitmap=qemu:dirty-bitmap:since`;
    const map = ['map', '--output=json', '--image-opts', changed];
    const { stdout } = await ours(...map);
    expect(stdout).toBe((await execute('qemu-img', map)).stdout);
    const dirty = (JSON.parse(stdout) as { data: boolean; start: number; length: number }[]).filter(
      ({ data }) => !data,
    );
    expect(dirty).toMatchObject([{ start: 1 << 20, length: 128 << 10 }]);
    const { stdout: seen } = await execute(process.execPath, [bundle, 'nbd', '-L', '-k', socket()]);
    expect(seen).toBe((await execute('qemu-nbd', ['-L', '-k', socket()])).stdout);
    expect(seen).toContain('qemu:dirty-bitmap:since');
    await qmp.run('block-job-cancel', { device: 'f' });
  });
});
