/**
 * Block devices, as the real tools treat them: the same command lines on two devices that hold the same, one for ours
 * and one for the real ones. Each folder has its own as `disk`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { attachDevice, type BlockDevice, haveDevices, whereDevicesAre } from '../support/block-device.ts';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere, runOwn } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

/** No multiple of a cluster, nor of 4 KiB. */
const deviceBytes = 3_000_320;

/** `io` and its commands, or `img` and its arguments, one to a line. */
const histories: readonly string[][] = [
  ['create -f raw disk 1M', 'info disk'],
  ['create -f raw disk 4M'],
  ['create -f raw -o preallocation=full disk 1M'],
  ['create -f raw -o nocow=on disk 1M'],
  ['create -f raw -o help disk'],
  ['create -f raw host_device:disk 1M'],
  ['create -f raw host_device:missing 1M'],
  ['create -f raw host_device:short.qcow2 1M'],
  [
    'create -f qcow2 disk 1M',
    'check disk',
    'io disk read -P 0 0 1M',
    'io disk write 1000 70000',
    'check disk',
    'io disk read -P 0 0 1000',
    'io disk read -P 0 71000 900k',
  ],
  ['create -f qcow2 disk 10M', 'io disk write 0 4M', 'check disk'],
  ['create -f qcow2 -o cluster_size=512 disk 1M', 'check disk'],
  ['create -f qcow2 -o preallocation=full disk 1M'],
  ['create -f qcow2 disk 1M', 'resize disk +1M', 'resize --shrink disk 512k', 'compare disk disk'],
  ['resize -f raw disk +1M'],
  ['resize -f raw --shrink disk 1M'],
  ['resize -f raw --preallocation=full disk +1M'],
  ['resize -f raw disk 3000320'],
  ['map -f raw disk'],
  ['io -f raw disk truncate 1M'],
  ['io -f raw disk truncate 4M'],
  ['io -f raw disk write -P 5 0 1M', 'io -f raw disk write -z 64k 64k', 'io -f raw disk write -zu 0 4k'],
  ['io -f raw disk write -z 100 1000', 'io -f raw disk write -zu 100 1000'],
  ['io -f raw disk write -zn 100 1000'],
  ['io -f raw disk discard 64k 64k', 'io -f raw disk discard 100 1000'],
  ['io -f raw disk write 2999000 4096', 'io -f raw disk length'],
  ['io -t none -f raw disk write 100 1000', 'io -t none -f raw disk read 100 1000'],
  ['convert -O raw short.qcow2 disk'],
  ['convert -n -O raw short.qcow2 disk'],
  ['convert -O raw long.qcow2 disk'],
  ['convert -n -O raw long.qcow2 disk'],
  ['convert -O qcow2 long.qcow2 disk', 'compare long.qcow2 disk', 'check disk'],
  ['convert -c -O qcow2 long.qcow2 disk', 'compare long.qcow2 disk', 'check disk'],
  ['convert -O qcow2 -o preallocation=falloc long.qcow2 disk'],
  ['info file:disk'],
  ['io --image-opts driver=host_device read 0 512'],
  ['io --image-opts driver=host_device,filename=short.qcow2 read 0 512'],
  ['io --image-opts driver=host_device,filename=missing read 0 512'],
  ['io --image-opts driver=host_device,filename=. read 0 512'],
  ['io --image-opts driver=host_device,filename=disk,foo=1 read 0 512'],
  ['io --image-opts driver=host_cdrom,filename=disk read 0 512'],
];

/** What the histories leave on a raw disk is the same. */
const isRaw = (lines: readonly string[]): boolean => lines.every((line) => !/-[fO] qcow2/.test(line));

describe.skipIf(!haveQemu || !haveDevices)(`block devices, ${whereDevicesAre}`, () => {
  let folders: TwoFolders;
  const devices: BlockDevice[] = [];
  const content = Buffer.alloc(deviceBytes, 'x');

  beforeAll(() => {
    folders = new TwoFolders();
    for (const folder of [folders.ours, folders.theirs]) {
      const device = attachDevice(deviceBytes)!; // others could be
      devices.push(device);
      symlinkSync(device.path, join(folder, 'disk'));
    }
    for (const [name, size] of [
      ['short.qcow2', '1M'],
      ['long.qcow2', '8M'],
    ] as const) {
      folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', name, size);
      folders.prepare('qemu-io', '-c', 'write -P 7 64k 64k', name);
    }
  });
  beforeEach(() => {
    for (const { path } of devices) writeFileSync(path, content);
  });
  afterAll(() => {
    for (const device of devices) device.detach();
    folders?.remove();
  });

  function read(path: string): Buffer {
    const bytes = Buffer.alloc(deviceBytes);
    const fd = openSync(path, 'r');
    readSync(fd, bytes);
    closeSync(fd);
    return bytes;
  }

  test.each(histories.map((lines) => [lines.join('; '), lines] as const))('%s', async (_name, lines) => {
    for (const line of lines) {
      const [first, ...rest] = words(line);
      const command = /(?:disk|foo=1|host_device|filename=\S+) (\w+ .*|length)$/.exec(line)?.[1];
      const { ours, theirs } =
        first === 'io' && command !== undefined
          ? await bothHere(folders, 'qemu-io', [
              '-c',
              command,
              ...rest.slice(0, rest.length - words(command).length),
            ])
          : await bothHere(folders, 'qemu-img', words(line));
      if (first !== 'info') expect(ours).toEqual(theirs);
      else expect(ours.stderr).toBe(theirs.stderr);
    }
    if (isRaw(lines)) expect(read(devices[0]!.path).equals(read(devices[1]!.path))).toBe(true); // one for each
  });

  test('what is write-protected is only read', async () => {
    for (const device of devices) device.setReadOnly(true);
    try {
      for (const args of [
        ['convert', 'short.qcow2', 'disk'],
        ['create', '-f', 'raw', 'disk', '1M'],
        ['compare', '-f', 'raw', '-F', 'raw', 'disk', 'disk'],
      ]) {
        const { ours, theirs } = await bothHere(folders, 'qemu-img', args);
        expect(ours).toEqual(theirs);
      }
      for (const args of [
        ['-f', 'raw', '-c', 'write 0 512', 'disk'],
        ['-r', '-f', 'raw', '-c', 'read 0 512', 'disk'],
      ]) {
        const { ours, theirs } = await bothHere(folders, 'qemu-io', args);
        expect(ours).toEqual(theirs);
      }
    } finally {
      for (const device of devices) device.setReadOnly(false);
    }
  });

  test('a new disk shows nothing of what was there before', async () => {
    const disk = join(folders.ours, 'disk');
    await runOwn('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', disk, '1M']);
    const { status } = await runOwn('qemu-io', ['-c', 'read -P 0 0 1M', disk]);
    expect(status).toBe(0);
  });

  test('is locked against other programs, theirs and ours', async () => {
    const disk = join(folders.ours, 'disk');
    await runOwn('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '1M']);
    const holder = spawn('qemu-io', ['disk'], { cwd: folders.ours, stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(holder, 'exit');
    holder.stdin.write('length\n');
    let said = '';
    for await (const text of holder.stdout.setEncoding('utf8')) {
      said += String(text);
      if (said.includes('1 MiB')) break;
    }
    const refused = (await runOwn('qemu-io', ['-c', 'length', disk])).stderr;
    holder.stdin.end('quit\n');
    await ended;
    expect(refused).toContain('Failed to get "write" lock');
  });
});

describe('files that are no disks', () => {
  test('a character device and what the kernel makes up are refused by name', async () => {
    expect((await runOwn('qemu-img', ['info', '/dev/null'])).stderr).toBe(
      "qemu-img: Could not open '/dev/null': 'host_device' driver requires '/dev/null' to be a block device\n",
    );
  });

  test.skipIf(!haveQemu)('what the kernel makes when it is read has no length', async () => {
    const folders = new TwoFolders();
    const { ours, theirs } = await bothHere(folders, 'qemu-img', ['convert', '/proc/version', 'out.raw']);
    expect(ours).toEqual(theirs);
    expect(ours.stderr).toContain('Could not refresh total sector count: Invalid argument');
    folders.remove();
  });
});
