/**
 * Other people's programs at work on disks that our daemon exports, while a guest (fio, which looks whether it reads what it
 * wrote) writes to the same disk: copies, real QEMU as a client and its jobs with our exports for targets, a Linux that boots
 * from one, and what backup programs do, those that pull and those that have us push.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { QmpChild } from '../../../bench/qmp.ts';
import { debianGuest } from '../../guest/debian.ts';
import { bundle } from '../../support/cli.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import {
  haveE2fsprogs,
  haveFio,
  haveLibnbd,
  haveNbdModule,
  haveQemu,
  haveQemuSystem,
  systemPython,
} from '../../support/tools.ts';
import { VmProgram } from '../../support/vm-program.ts';

const MiB = 1 << 20;
const diskBytes = 16 * MiB;
/** The guest writes above, nobody else does. */
const guestStart = 8 * MiB;

const execute = promisify(execFile);
const scratch = scratchDirectory();
const guestSystem = await debianGuest();

const socket = (): string => scratch('exports');
const uri = (name: string): string => `nbd+unix:///${name}?socket=${socket()}`;
const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];
const address = (): object => ({ type: 'unix', data: { path: socket() } });
const connected = (name: string): object => ({
  driver: 'nbd',
  server: { type: 'unix', path: socket() },
  export: name,
});
const file = (name: string): object => ({ driver: 'file', filename: scratch(name) });

/** Blocks of 64 KiB that differ. */
function content(bytes: number, seed: number): Buffer {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 65_536) all.fill((at / 65_536) * 7 + seed, at, at + 65_536);
  return all;
}

function makeDisk(name: string, bytes = diskBytes): Buffer {
  const data = content(bytes, 1);
  writeFileSync(scratch(`${name}.raw`), data);
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch(`${name}.raw`), scratch(`${name}.qcow2`));
  return data;
}

/** For Python: reads what is dirty in a bitmap, or everything, into a file of which the rest stays as it is. */
const pull = `
import nbd, os
h = nbd.NBD()
h.add_meta_context("base:allocation")
context = os.environ.get("PULLED_CONTEXT")
if context: h.add_meta_context(context)
h.connect_uri(os.environ["PULLED_URI"])
target = os.open(os.environ["PULLED_INTO"], os.O_WRONLY | os.O_CREAT)
size = h.get_size()
os.ftruncate(target, size)
done = 0
wanted = []
def note(name, offset, entries, error):
    global done
    if name != (context or "base:allocation"): return
    at = offset
    for length, flags in zip(entries[::2], entries[1::2]):
        if not context or flags & 1: wanted.append((length, at))
        at += length
    done = at
while done < size: h.block_status(size - done, done, note)
for length, at in wanted: os.pwrite(target, h.pread(length, at), at)
print(sum(length for length, at in wanted))
`;

/** Writes until it is stopped, and reads again what it wrote. */
class Guest {
  private readonly over: Promise<[number | null]>;
  private said = '';

  constructor(private readonly fio: ChildProcess) {
    this.over = once(fio, 'close') as Promise<[number | null]>;
    for (const stream of [fio.stdout, fio.stderr]) stream?.on('data', (text) => void (this.said += text));
  }

  static start(name: string): Guest {
    const options = {
      name: 'guest',
      ioengine: 'nbd',
      uri: uri(name),
      rw: 'randrw',
      bs: '4k',
      iodepth: '16',
      offset: String(guestStart),
      size: String(diskBytes - guestStart),
      verify: 'crc32c',
      verify_backlog: '64',
      verify_fatal: '1',
      time_based: '1',
      runtime: '60',
    };
    const args = Object.entries(options).map(([key, value]) => `--${key}=${value}`);
    return new Guest(spawn('fio', [...args, '--output-format=json'], { cwd: scratch('') }));
  }

  /** How many requests it made. Errors: what it read was not what it wrote. */
  async stop(): Promise<number> {
    this.fio.kill('SIGINT');
    const [status] = await this.over;
    // As fio says that it was interrupted.
    expect(status, this.said).toBe(128);
    expect(this.said).not.toMatch(/verify: bad|error=|"error" : [1-9]/);
    const { jobs } = JSON.parse(this.said.slice(this.said.indexOf('{'))) as {
      jobs: { read: { total_ios: number }; write: { total_ios: number } }[];
    };
    return jobs.reduce((sum, { read, write }) => sum + read.total_ios + write.total_ios, 0);
  }
}

describe.skipIf(!haveQemu || !haveLibnbd || !haveFio)('on exports of our daemon', () => {
  let daemon: QmpChild;

  beforeEach(async () => {
    daemon = await QmpChild.start({
      program: process.execPath,
      args: [bundle, 'storage-daemon', ...monitor],
    });
    await daemon.run('nbd-server-start', { addr: address(), 'max-connections': 0 });
  });
  afterEach(() => daemon.quit());

  /** Whether anything has been written since that bitmap of `disk` is there. */
  async function isDirty(name: string): Promise<boolean> {
    const nodes = (await daemon.run('query-named-block-nodes', {})) as {
      'node-name': string;
      'dirty-bitmaps'?: { name: string; count: number }[];
    }[];
    const bitmaps = nodes.find((node) => node['node-name'] === 'disk')?.['dirty-bitmaps'] ?? [];
    return bitmaps.some((bitmap) => bitmap.name === name && bitmap.count > 0);
  }

  /** One that writes to `disk` by now. */
  async function startGuest(): Promise<Guest> {
    const bitmap = { node: 'disk', name: 'written' };
    await daemon.run('block-dirty-bitmap-add', bitmap);
    const guest = Guest.start('disk');
    await vi.waitUntil(() => isDirty('written'), { timeout: 60_000 });
    await daemon.run('block-dirty-bitmap-remove', bitmap);
    return guest;
  }

  async function addDisk(name: string): Promise<void> {
    await daemon.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': name,
      discard: 'unmap',
      file: file(`${name}.qcow2`),
    });
    await daemon.run('block-export-add', {
      type: 'nbd',
      id: `export-${name}`,
      'node-name': name,
      writable: true,
    });
  }

  test('copies, maps and comparisons while a guest writes', { timeout: 120_000 }, async () => {
    const data = makeDisk('disk');
    await addDisk('disk');
    const guest = await startGuest();
    const low = data.subarray(0, guestStart);

    await execute('nbdcopy', [uri('disk'), scratch('copy.raw')]);
    expect(readFileSync(scratch('copy.raw')).subarray(0, guestStart).equals(low)).toBe(true);

    await execute('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri('disk'), scratch('converted.raw')]);
    expect(readFileSync(scratch('converted.raw')).subarray(0, guestStart).equals(low)).toBe(true);

    const { stdout: map } = await execute('nbdinfo', ['--map', '--json', uri('disk')]);
    const extents = JSON.parse(map) as { offset: number; length: number }[];
    expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(diskBytes);

    const bench = ['bench', '-f', 'raw', '-c', '2000', '-d', '8', '-s', '4096', '-S', '4096'];
    const { stdout } = await execute('qemu-img', [...bench, uri('disk')]);
    expect(stdout).toContain('Run completed');

    expect(await guest.stop()).toBeGreaterThan(50);
    await daemon.run('block-export-del', { id: 'export-disk' });
    await daemon.run('blockdev-del', { 'node-name': 'disk' });
    run('qemu-img', 'check', '-q', scratch('disk.qcow2'));
  });

  test('a backup of what a guest over NBD writes to is of one instant', { timeout: 120_000 }, async () => {
    makeDisk('disk');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('target.qcow2'), String(diskBytes));
    await addDisk('disk');
    await daemon.run('blockdev-add', { driver: 'qcow2', 'node-name': 'target', file: file('target.qcow2') });
    // The same instant twice: what a fleecing export shows, and what the backup job writes.
    run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('fleece.qcow2'), String(diskBytes));
    await daemon.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'fleece',
      file: file('fleece.qcow2'),
      backing: 'disk',
    });
    const guest = await startGuest();
    const done = daemon.jobsCompleted(1);
    const shared = { device: 'disk' };
    await daemon.run('transaction', {
      actions: [
        {
          type: 'blockdev-backup',
          data: { ...shared, 'job-id': 'fleecing', target: 'fleece', sync: 'none' },
        },
        {
          type: 'blockdev-backup',
          data: { ...shared, 'job-id': 'full', target: 'target', sync: 'full', speed: 8 * MiB },
        },
      ],
    });
    await daemon.run('block-export-add', { type: 'nbd', id: 'export-fleece', 'node-name': 'fleece' });
    await execute('nbdcopy', [uri('fleece'), scratch('pulled.raw')]);
    await done;
    expect(await guest.stop()).toBeGreaterThan(50);
    for (const id of ['export-fleece', 'export-disk']) await daemon.run('block-export-del', { id });
    await daemon.run('block-job-cancel', { device: 'fleecing' });
    await vi.waitUntil(async () => ((await daemon.run('query-jobs', {})) as unknown[]).length === 0);
    await daemon.run('blockdev-del', { 'node-name': 'target' });
    run('qemu-img', 'check', '-q', scratch('target.qcow2'));
    run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', scratch('target.qcow2'), scratch('pulled.raw'));
  });

  test('real QEMU backs up to an export, and mirrors to another', { timeout: 120_000 }, async () => {
    const data = makeDisk('disk');
    const real = await QmpChild.start({ program: 'qemu-storage-daemon', args: monitor });
    try {
      await real.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: file('disk.qcow2') });
      for (const name of ['backup', 'mirror']) {
        run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch(`${name}.qcow2`), String(diskBytes));
        await addDisk(name);
        await real.run('blockdev-add', { ...connected(name), 'node-name': name });
      }
      const job = (name: string): object => ({ 'job-id': name, device: 'disk', target: name, sync: 'full' });
      const copied = real.jobsCompleted(1);
      await real.run('blockdev-backup', job('backup'));
      await copied;
      const [ready, mirrored] = [real.event('BLOCK_JOB_READY'), real.jobsCompleted(1)];
      await real.run('blockdev-mirror', job('mirror'));
      await ready;
      await real.run('block-job-complete', { device: 'mirror' });
      await mirrored;
    } finally {
      await real.quit();
    }
    for (const name of ['backup', 'mirror']) {
      await daemon.run('block-export-del', { id: `export-${name}` });
      await daemon.run('blockdev-del', { 'node-name': name });
      run('qemu-img', 'check', '-q', scratch(`${name}.qcow2`));
      run('qemu-img', 'convert', '-O', 'raw', scratch(`${name}.qcow2`), scratch(`${name}.raw`));
      expect(readFileSync(scratch(`${name}.raw`)).equals(data)).toBe(true);
    }
  });

  test.skipIf(!guestSystem || !haveQemuSystem || !haveE2fsprogs)(
    'Linux in real QEMU has its disk on an export',
    { timeout: 240_000 },
    async () => {
      run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('disk.qcow2'), '48M');
      await addDisk('disk');
      const { kernel, initrd } = guestSystem!; // the test skips without
      const vm = await VmProgram.start(['qemu-system-i386'], scratch('serial'), [
        ...['-display', 'none', '-m', '96', '-kernel', kernel, '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet mitigations=off'],
        ...['-drive', `file=${uri('disk')},format=raw,if=ide`],
      ]);
      try {
        await vm.untilReady();
        await vm.shell('mkfs.ext4 -q /dev/sda && mkdir /mnt/d && mount -t ext4 /dev/sda /mnt/d', 120_000);
        await vm.shell('dd if=/dev/urandom of=/mnt/d/f bs=64k count=64 2> /dev/null; sync', 120_000);
        const sum = await vm.shell('md5sum < /mnt/d/f');
        // Out of the cache: what is read comes from the export.
        await vm.shell('umount /mnt/d && mount -t ext4 /dev/sda /mnt/d', 120_000);
        expect(await vm.shell('md5sum < /mnt/d/f')).toBe(sum);
        await vm.shell('umount /mnt/d');
        await vm.quit();
      } finally {
        vm.kill();
      }
      await daemon.run('block-export-del', { id: 'export-disk' });
      await daemon.run('blockdev-del', { 'node-name': 'disk' });
      run('qemu-img', 'check', '-q', scratch('disk.qcow2'));
      run('qemu-img', 'convert', '-O', 'raw', scratch('disk.qcow2'), scratch('disk.raw'));
      run('e2fsck', '-fn', scratch('disk.raw'));
    },
  );

  test.skipIf(!haveNbdModule)(
    'a full backup and ten incremental ones are pulled, each of one instant',
    { timeout: 240_000 },
    async () => {
      makeDisk('disk');
      await addDisk('disk');
      const guest = await startGuest();
      const named = (name: string, more: object = {}) => ({ node: 'disk', name, ...more });
      for (let count = 0; count <= 10; count++) {
        const previous = count > 0 ? `checkpoint-${count - 1}` : undefined;
        if (previous !== undefined) await vi.waitUntil(() => isDirty(previous), { timeout: 60_000 });
        run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch('fleece.qcow2'), String(diskBytes));
        const fleece = {
          driver: 'qcow2',
          'node-name': 'fleece',
          file: file('fleece.qcow2'),
          backing: 'disk',
        };
        await daemon.run('blockdev-add', fleece);
        await daemon.run('transaction', {
          actions: [
            ...(previous === undefined
              ? []
              : [
                  { type: 'block-dirty-bitmap-add', data: named('since', { disabled: true }) },
                  {
                    type: 'block-dirty-bitmap-merge',
                    data: { node: 'disk', target: 'since', bitmaps: [previous] },
                  },
                  { type: 'block-dirty-bitmap-disable', data: named(previous) },
                ]),
            { type: 'block-dirty-bitmap-add', data: named(`checkpoint-${count}`, { persistent: true }) },
            {
              type: 'blockdev-backup',
              data: { 'job-id': 'fleecing', device: 'disk', target: 'fleece', sync: 'none' },
            },
          ],
        });
        const bitmaps = previous === undefined ? [] : [{ node: 'disk', name: 'since' }];
        await daemon.run('block-export-add', { type: 'nbd', id: 'pulled', 'node-name': 'fleece', bitmaps });
        const { stdout } = await execute(systemPython, ['-c', pull], {
          env: {
            ...process.env,
            PULLED_URI: uri('fleece'),
            PULLED_INTO: scratch('restored.raw'),
            ...(previous === undefined ? {} : { PULLED_CONTEXT: 'qemu:dirty-bitmap:since' }),
          },
        });
        const pulled = Number(stdout);
        if (previous === undefined) expect(pulled).toBe(diskBytes);
        else expect(pulled).toBeLessThanOrEqual(diskBytes - guestStart);
        expect(pulled).toBeGreaterThan(0);
        await execute('nbdcopy', [uri('fleece'), scratch('instant.raw')]);
        expect(readFileSync(scratch('restored.raw')).equals(readFileSync(scratch('instant.raw')))).toBe(true);
        await daemon.run('block-export-del', { id: 'pulled' });
        await daemon.run('block-job-cancel', { device: 'fleecing' });
        await vi.waitUntil(async () => ((await daemon.run('query-jobs', {})) as unknown[]).length === 0);
        if (previous !== undefined)
          for (const name of ['since', previous]) await daemon.run('block-dirty-bitmap-remove', named(name));
        await daemon.run('blockdev-del', { 'node-name': 'fleece' });
      }
      expect(await guest.stop()).toBeGreaterThan(50);
      await daemon.run('block-export-del', { id: 'export-disk' });
      await daemon.run('blockdev-del', { 'node-name': 'disk' });
      run('qemu-img', 'check', '-q', scratch('disk.qcow2'));
      expect(run('qemu-img', 'info', scratch('disk.qcow2'))).toContain('name: checkpoint-10');
    },
  );

  test('a full backup and ten incremental ones are pushed, and each is restored', {
    timeout: 240_000,
  }, async () => {
    makeDisk('disk');
    await addDisk('disk');
    const guest = await startGuest();
    const bitmap = { node: 'disk', name: 'since-the-last' };
    const addTarget = async (name: string): Promise<void> => {
      run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch(`${name}.qcow2`), String(diskBytes));
      const target = { driver: 'qcow2', 'node-name': name, discard: 'unmap', file: file(`${name}.qcow2`) };
      await daemon.run('blockdev-add', target);
    };
    const backup = (target: string, more: object): object => ({
      type: 'blockdev-backup',
      data: { 'job-id': target, device: 'disk', target, ...more },
    });
    for (let count = 0; count <= 10; count++) {
      if (count > 0) await vi.waitUntil(() => isDirty(bitmap.name), { timeout: 60_000 });
      // The whole disk at the same instant, to compare with.
      const [pushed, whole] = [`pushed-${count}`, `whole-${count}`];
      for (const name of [pushed, whole]) await addTarget(name);
      const done = daemon.jobsCompleted(2);
      await daemon.run('transaction', {
        actions: [
          ...(count === 0
            ? [
                { type: 'block-dirty-bitmap-add', data: { ...bitmap, persistent: true } },
                backup(pushed, { sync: 'full' }),
              ]
            : [backup(pushed, { sync: 'incremental', bitmap: bitmap.name })]),
          backup(whole, { sync: 'full' }),
        ],
      });
      await done;
      for (const name of [pushed, whole]) await daemon.run('blockdev-del', { 'node-name': name });
    }
    expect(await guest.stop()).toBeGreaterThan(50);
    await daemon.run('block-export-del', { id: 'export-disk' });
    await daemon.run('blockdev-del', { 'node-name': 'disk' });
    run('qemu-img', 'check', '-q', scratch('disk.qcow2'));
    for (let count = 0; count <= 10; count++) {
      const [pushed, previous] = [scratch(`pushed-${count}.qcow2`), scratch(`pushed-${count - 1}.qcow2`)];
      if (count > 0) run('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', previous, '-F', 'qcow2', pushed);
      run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'qcow2', pushed, scratch(`whole-${count}.qcow2`));
    }
    // As it is restored: all of them in one.
    for (let count = 10; count > 0; count--)
      run('qemu-img', 'commit', '-q', scratch(`pushed-${count}.qcow2`));
    run('qemu-img', 'compare', scratch('pushed-0.qcow2'), scratch('whole-10.qcow2'));
  });
});
