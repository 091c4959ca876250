/**
 * Faults of disks under a guest that runs: what its policy says is what happens, QMP tells of it, and when the cause is gone
 * the machine goes on with every record. The embedded guest in `blockyard vm`, on files and on overlays of a web server's.
 */
import { execFileSync } from 'node:child_process';
import { unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { builtProgram } from '../support/system-program.ts';
import { installedV86 } from '../support/v86.ts';
import { VmProgram } from '../support/vm-program.ts';

const scratch = scratchDirectory();
const program = builtProgram();
const smallBytes = 1 << 20;
const [eio, enospc] = [5, 28];
let vm: VmProgram;
let count = 0;

afterEach(() => vm?.kill());

interface Drive {
  blockdev: object;
  rerror?: string;
  werror?: string;
}

async function start(...drives: Drive[]): Promise<void> {
  const [node, main] = program();
  vm = await VmProgram.start(
    [node, main, 'vm'],
    scratch(`serial-${++count}`),
    [
      ['-m', '16', '-S'],
      ...drives.map(({ blockdev, rerror = 'stop', werror = 'stop' }, i) => [
        ...['-blockdev', JSON.stringify({ ...blockdev, 'node-name': `disk${i}` })],
        ...[
          '-device',
          `ide-hd,id=hd${i},bus=ide.0,unit=${i},drive=disk${i},rerror=${rerror},werror=${werror}`,
        ],
      ]),
    ].flat(),
  );
  await vm.qmp('cont');
}

/** A disk of zeros; `fault`: of the one request that covers this sector, the first time. */
function rawDisk(fault?: { sector: number; errno: number; iotype: 'read' | 'write' }): object {
  const filename = scratch(`disk-${++count}.raw`);
  writeFileSync(filename, new Uint8Array(smallBytes));
  const file = { driver: 'file', filename };
  if (!fault) return { driver: 'raw', file };
  const rule = { event: 'none', once: true, ...fault };
  return { driver: 'raw', file: { driver: 'blkdebug', image: file, 'inject-error': [rule] } };
}

async function ioStatus(index = 0): Promise<unknown> {
  const devices = (await vm.qmp('query-block')) as { qdev?: string; 'io-status'?: string }[];
  return devices.find(({ qdev }) => qdev === `hd${index}`)?.['io-status'];
}

/** Why, in words, of the disks that have failed since the machine was told to go on. */
async function failures(): Promise<string[]> {
  const found = (await vm.qmp('x-query-block-failures')) as { message: string }[];
  return found.map(({ message }) => message);
}

/** Waits for the event that tells of a fault; what it tells. */
async function fault(): Promise<Record<string, unknown>> {
  return (await vm.event('BLOCK_IO_ERROR')).data!;
}

async function expectStopped(status: 'failed' | 'nospace', index = 0): Promise<void> {
  await vm.event('STOP');
  expect(await vm.qmp('query-status')).toMatchObject({ running: false, status: 'io-error' });
  expect(await ioStatus(index)).toBe(status);
}

async function resume(): Promise<void> {
  await vm.qmp('cont');
  expect(await vm.qmp('query-status')).toMatchObject({ running: true, status: 'running' });
  expect(await ioStatus()).toBe('ok');
  expect(await failures()).toEqual([]);
}

/** The guest has written so many records, and stops. */
async function writeUpTo(records: number): Promise<number> {
  for (;;) {
    const [, told] = await vm.serialLine('status', /(\d+) records on each disk/);
    if (Number(told) >= records) break;
  }
  const [, told] = await vm.serialLine('stop', /(\d+) records on each disk/);
  return Number(told);
}

async function verify(records: number): Promise<void> {
  await vm.serialLine('verify', new RegExp(`verified ${records} records on each disk, no mistake`));
}

describe.skipIf(!installedV86)('a disk that fails under a guest', () => {
  const sector = 20;

  for (const { name, errno, werror, status } of [
    { name: 'EIO, werror=stop', errno: eio, werror: 'stop', status: 'failed' },
    { name: 'ENOSPC, werror=stop', errno: enospc, werror: 'stop', status: 'nospace' },
    { name: 'ENOSPC, werror=enospc', errno: enospc, werror: 'enospc', status: 'nospace' },
  ] as const)
    test(`stops the machine for a write, and the write is made when it goes on: ${name}`, async () => {
      await start({ blockdev: rawDisk({ sector, errno, iotype: 'write' }), werror }, { blockdev: rawDisk() });
      const nospace = errno === enospc;
      expect(await fault()).toEqual({
        device: '',
        'qom-path': '/machine/peripheral/hd0',
        'node-name': 'disk0',
        operation: 'write',
        action: 'stop',
        nospace,
        reason: nospace ? 'No space left on device' : 'Input/output error',
      });
      await expectStopped(status);
      expect(await ioStatus(1)).toBe('ok');
      await resume();
      await verify(await writeUpTo(2 * sector));
    });

  for (const { name, errno, werror, action, nospace } of [
    { name: 'EIO, werror=report', errno: eio, werror: 'report', action: 'report', nospace: false },
    { name: 'EIO, werror=ignore', errno: eio, werror: 'ignore', action: 'ignore', nospace: false },
    { name: 'EIO, werror=enospc', errno: eio, werror: 'enospc', action: 'report', nospace: false },
    { name: 'ENOSPC, werror=report', errno: enospc, werror: 'report', action: 'report', nospace: true },
  ])
    test(`tells of a write that is dropped and goes on, and it is that one that is missing: ${name}`, async () => {
      await start({ blockdev: rawDisk({ sector, errno, iotype: 'write' }), werror }, { blockdev: rawDisk() });
      expect(await fault()).toMatchObject({ 'node-name': 'disk0', operation: 'write', action, nospace });
      expect(await vm.qmp('query-status')).toMatchObject({ running: true, status: 'running' });
      expect(await ioStatus()).toBe('ok');
      await writeUpTo(2 * sector);
      await vm.serialLine('verify', new RegExp(`MISTAKE in slot ${sector} of disk 0`));
    });

  test('stops the machine for a read, and the read is made when it goes on', async () => {
    await start({ blockdev: rawDisk({ sector, errno: eio, iotype: 'read' }) }, { blockdev: rawDisk() });
    expect(await fault()).toMatchObject({ 'node-name': 'disk0', operation: 'read', action: 'stop' });
    await expectStopped('failed');
    await resume();
    await verify(await writeUpTo(2 * sector));
  });

  test.each(['report', 'ignore'])('tells of a read that fails and goes on: rerror=%s', async (rerror) => {
    await start(
      { blockdev: rawDisk({ sector, errno: eio, iotype: 'read' }), rerror },
      { blockdev: rawDisk() },
    );
    expect(await fault()).toMatchObject({ operation: 'read', action: rerror });
    expect(await vm.qmp('query-status')).toMatchObject({ running: true });
    await verify(await writeUpTo(2 * sector));
  });
});

describe.skipIf(!installedV86)('an overlay of an image on a web server that fails under a guest', () => {
  const baseBytes = 16 << 20;
  let server: PageServer;
  let origin: string;
  let isThere: boolean;

  beforeEach(async () => {
    isThere = true;
    server = new PageServer();
    const image = new Uint8Array(baseBytes);
    server.find = (path) => (isThere && path === '/base.img' ? image : undefined);
    origin = await server.start();
    await start(overlay(), overlay());
    await vm.serialLine('rate 0', /running/);
  });

  afterEach(() => server.stop());

  function overlay(): object & { blockdev: object } {
    const filename = scratch(`overlay-${++count}.qcow2`);
    const [node, main] = program();
    execFileSync(node, [main, 'img', 'create', '-q', '-f', 'qcow2', filename, String(baseBytes)]);
    const file = { driver: 'http', url: `${origin}/base.img`, readahead: 0, 'x-retry': 0 };
    const blockdev = {
      driver: 'qcow2',
      file: { driver: 'file', filename },
      backing: { driver: 'raw', 'read-only': true, file },
    };
    return { blockdev };
  }

  /** What is missing of a cluster that the guest begins comes from the server. */
  async function expectFault(reason: string): Promise<void> {
    const { 'node-name': node, ...told } = await fault();
    expect(told).toMatchObject({ operation: 'write', action: 'stop', nospace: false, reason });
    await expectStopped('failed', node === 'disk0' ? 0 : 1);
  }

  async function expectRecovery(): Promise<void> {
    await resume();
    const [, before] = await vm.serialLine('status', /(\d+) records on each disk/);
    await verify(await writeUpTo(Number(before) + 300));
  }

  const port = (): number => Number(new URL(origin).port);

  const faults = [
    {
      what: 'answers 500',
      begin: () => (server.isBroken = true),
      end: () => (server.isBroken = false),
      words: /returned error: 500$/,
      reason: 'Input/output error',
    },
    {
      what: 'loses every connection',
      begin: () => (server.loses = true),
      end: () => (server.loses = false),
      words: /socket|hang up|closed|ECONNRESET|terminated/,
      reason: 'Input/output error',
    },
    {
      what: 'does not listen any more',
      begin: () => server.stop(),
      end: () => server.start(port()),
      words: /ECONNREFUSED/,
      reason: 'Input/output error',
    },
    {
      what: 'has another file there',
      begin: () => (server.etag = '"2"'),
      end: () => (server.etag = '"1"'),
      words: /has changed: its ETag was "1" and is "2"$/,
      reason: 'Input/output error',
    },
    {
      what: 'has no file there',
      begin: () => (isThere = false),
      end: () => (isThere = true),
      words: /returned error: 404$/,
      reason: 'No such file or directory',
    },
  ];

  for (const { what, begin, end, words, reason } of faults) {
    test(`stops the machine while the server ${what}, again if it goes on too early, and loses nothing`, async () => {
      await begin();
      await expectFault(reason);
      expect(await failures()).toEqual([expect.stringMatching(words)]);
      await vm.qmp('cont');
      await expectFault(reason);
      await end();
      await expectRecovery();
    });
  }
});

describe.skipIf(!installedV86)('a file that is removed under a guest', () => {
  test('stays the disk of the machine until that ends', async () => {
    const disks = [rawDisk(), rawDisk()] as { file: { filename: string } }[];
    await start(...disks.map((blockdev) => ({ blockdev })));
    await vm.serialLine('rate 0', /running/);
    for (const { file } of disks) {
      unlinkSync(file.filename);
      writeFileSync(file.filename, 'something else');
    }
    await verify(await writeUpTo(100));
    expect(await vm.quit()).toEqual({ status: 0, errors: '' });
  });
});
