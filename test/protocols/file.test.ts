import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BlockGraph } from '../../host/block/graph.ts';
import { ownOptions } from '../../host/block/options.ts';
import { Perm } from '../../host/block/permissions.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { FileLayout, Files } from '../../host/platform/platform.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { file } from '../../host/protocols/file/driver.ts';
import { openDriver } from '../support/open-driver.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const create = file.create!.createFile!;

describe('opening a file', () => {
  test.each([
    ['', "The 'file' block driver requires a file name"],
    [scratch('absent'), `Could not open '${scratch('absent')}': No such file or directory`],
    [scratch('.'), `Could not open '${scratch('.')}': Is a directory`],
    ['/dev/null', "'file' driver requires '/dev/null' to be a regular file"],
  ])('%j fails as in QEMU', async (filename, message) => {
    await expect(openDriver(file, nodePlatform, { filename })).rejects.toMatchObject({
      name: 'BlockError',
      message,
    });
  });

  test('a directory fails differently for reading, as in QEMU', async () => {
    await expect(
      openDriver(file, nodePlatform, { filename: scratch('.') }, { readOnly: true }),
    ).rejects.toThrow(`'file' driver requires '${scratch('.')}' to be a regular file`);
  });

  test.each([
    [
      { aio: 'native' },
      'aio=native was specified, but it requires cache.direct=on, which was not specified.',
    ],
    [{ 'pr-manager': 'x' }, "No persistent reservation manager with id 'x'"],
    [{ 'x-check-cache-dropped': true }, "Option 'x-check-cache-dropped' can only be off"],
    [{ 'aio-max-batch': 4 }, "Option 'aio-max-batch' can only be 0"],
  ] as const)('refuses %j by name', async (options, message) => {
    fs.writeFileSync(scratch('x'), '');
    await expect(openDriver(file, nodePlatform, { filename: scratch('x'), ...options })).rejects.toThrow(
      message,
    );
  });

  test.each([
    { aio: 'threads' },
    { aio: 'io_uring' },
    { locking: 'off' },
    { 'drop-cache': true },
    { 'drop-cache': false },
    { 'aio-max-batch': 0 },
  ] as const)('accepts %j', async (options) => {
    const filename = scratch('accepted');
    await create(nodePlatform, filename, { size: 1000 });
    const { driver } = await openDriver(file, nodePlatform, { filename, ...options });
    expect(await driver.getLength()).toBe(1000);
    await driver.close();
  });

  test('falls back to reading only where that is allowed', async () => {
    const simulation = createSimulation(1);
    const { platform, storage } = simulation;
    storage.writeFile('image', new Uint8Array(512));
    simulation.fail({ type: 'open', when: (operation) => operation.forWriting === true, errno: 'EROFS' });
    await expect(openDriver(file, platform, { filename: 'image' })).rejects.toThrow(
      "Could not open 'image': Read-only file system",
    );
    const opened = await openDriver(file, platform, { filename: 'image' }, { autoReadOnly: true });
    expect(opened.fellBack).toBe(true);
    await expect(opened.driver.write!(0, new Uint8Array(1), {})).rejects.toMatchObject({ errno: 'EBADF' });
  });

  test('warns once when images cannot be locked, and refuses to pretend', async () => {
    const { platform, storage, output } = createSimulation(1, { locks: false });
    storage.writeFile('image', new Uint8Array(512));
    const graph = new BlockGraph({ platform, drivers: [file] });
    const nodes = [1, 2].map(() => graph.open({ driver: 'file', filename: 'image', 'read-only': true }));
    for (const node of nodes) await graph.unref(await node);
    expect(output.stderr).toEqual([expect.stringMatching(/^warning: images are not locked/)]);
    await expect(openDriver(file, platform, { filename: 'image', locking: 'on' })).rejects.toThrow(
      "Option 'locking' cannot be on",
    );
  });
});

test('file names lose the prefix of the protocol', () => {
  expect(file.parseFilename!('file:a:b')).toEqual({ filename: './a:b' });
  expect(file.parseFilename!('a.raw')).toEqual({ filename: 'a.raw' });
  expect(file.exactFilename!(ownOptions(file, { filename: 'a.raw' }), () => undefined)).toBe('a.raw');
});

describe('image locks', () => {
  const { read, write, resize } = {
    read: Perm.consistentRead,
    write: Perm.write,
    resize: Perm.resize,
  };

  async function twoDrivers(flags = {}) {
    const { platform, storage } = createSimulation(1, { latency: 'instant' });
    storage.writeFile('image', new Uint8Array(512));
    const a = (await openDriver(file, platform, { filename: 'image' })).driver;
    const b = (await openDriver(file, platform, { filename: 'image' }, flags)).driver;
    const watcher = (await platform.files.open('image', { write: false })).locks!;
    const locked = (): number[] =>
      [100, 101, 102, 103, 200, 201, 202, 203].filter((byte) => watcher.isHeldByOther(byte));
    return { a, b, locked };
  }

  test('are those that QEMU takes', async () => {
    const { a, locked } = await twoDrivers();
    await a.checkPermissions!(read | write | resize, Perm.all & ~(write | resize));
    await a.setPermissions!(read | write | resize, Perm.all & ~(write | resize));
    expect(locked()).toEqual([100, 101, 103, 201, 203]);
    await a.checkPermissions!(read, Perm.all & ~(write | resize));
    expect(locked()).toEqual([100, 101, 103, 201, 203]);
    await a.setPermissions!(read, Perm.all & ~(write | resize));
    expect(locked()).toEqual([100, 201, 203]);
    await a.close();
    expect(locked()).toEqual([]);
  });

  test('refuse to write what another reads without sharing', async () => {
    const { a, b, locked } = await twoDrivers();
    await a.checkPermissions!(read, Perm.all & ~write);
    await a.setPermissions!(read, Perm.all & ~write);
    const attempt = b.checkPermissions!(write, Perm.all);
    await expect(attempt).rejects.toMatchObject({
      message: 'Failed to get "write" lock',
      hint: 'Is another process using the image [image]?',
    });
    expect(locked()).toEqual([100, 201]);
  });

  test('refuse to unshare what another does', async () => {
    const { a, b, locked } = await twoDrivers();
    await a.checkPermissions!(read | write, Perm.all);
    await a.setPermissions!(read | write, Perm.all);
    await expect(b.checkPermissions!(read, read)).rejects.toThrow('Failed to get shared "write" lock');
    expect(locked()).toEqual([100, 101]);
  });

  test('are as before when a change is given up', async () => {
    const { a, locked } = await twoDrivers();
    await a.checkPermissions!(read, Perm.all);
    await a.setPermissions!(read, Perm.all);
    await a.checkPermissions!(write, read);
    expect(locked()).toEqual([100, 101, 201, 202, 203]);
    a.abortPermissions!();
    expect(locked()).toEqual([100]);
  });

  test('let force-share look at an image in use', async () => {
    const { a, b, locked } = await twoDrivers({ forceShare: true, readOnly: true });
    await a.checkPermissions!(read | write, Perm.all & ~write);
    await a.setPermissions!(read | write, Perm.all & ~write);
    await b.checkPermissions!(read, read);
    await b.setPermissions!(read, read);
    expect(locked()).toEqual([100, 101, 201]);
  });
});

describe('making a file', () => {
  test('empties what is there and gives it the size', async () => {
    const filename = scratch('again');
    fs.writeFileSync(filename, 'something');
    await create(nodePlatform, filename, { size: 1 << 20 });
    expect(fs.readFileSync(filename).equals(Buffer.alloc(1 << 20))).toBe(true);
    expect(fs.statSync(filename).blocks).toBeLessThan(16);
  });

  test.each(['falloc', 'full'])('with preallocation=%s reserves the space', async (preallocation) => {
    const filename = scratch(preallocation);
    await create(nodePlatform, filename, { size: 3 << 20, preallocation });
    expect(fs.statSync(filename)).toMatchObject({ size: 3 << 20 });
    expect(fs.statSync(filename).blocks * 512).toBeGreaterThanOrEqual(3 << 20);
  });

  test('writes zeros where the host cannot reserve space', async () => {
    const { platform, storage, operations } = createSimulation(1, { fallocate: false });
    await create(platform, 'image', { size: (1 << 20) + 512, preallocation: 'falloc' });
    expect(storage.get('image').size).toBe((1 << 20) + 512);
    expect(operations.map(({ type }) => type)).toContain('write');
  });

  test.each([
    [{ preallocation: 'metadata' }, 'Unsupported preallocation mode: metadata'],
    [{ preallocation: 'zz' }, 'invalid parameter value: zz'],
    [{ extent_size_hint: 2 ** 32 }, 'Extent size hint is too large'],
  ])('refuses %j and touches nothing', async (values, message) => {
    const { platform, storage } = createSimulation(1);
    storage.writeFile('image', new Uint8Array(10));
    await expect(create(platform, 'image', { size: 512, ...values })).rejects.toThrow(message);
    expect(storage.get('image').size).toBe(10);
  });

  test('tells the file system how to lay out a new file', async () => {
    const { platform } = createSimulation(1);
    const advised: FileLayout[] = [];
    const files = Object.assign(Object.create(platform.files) as Files, {
      open: async (...args: Parameters<typeof platform.files.open>) =>
        Object.assign(await platform.files.open(...args), {
          advise: (layout: FileLayout) => void advised.push(layout),
        }),
    });
    await create({ ...platform, files }, 'image', { size: 512, nocow: true, extent_size_hint: 1048576 });
    expect(advised).toEqual([{ inPlace: true, extentBytes: 1048576 }]);
  });

  test('takes what this file system does not know for a hint', async () => {
    const filename = scratch('hinted');
    await create(nodePlatform, filename, { size: 512, nocow: true, extent_size_hint: 4096 });
    expect(fs.statSync(filename).size).toBe(512);
  });

  test('says what is wrong with the place', async () => {
    const filename = scratch('absent/image');
    await expect(create(nodePlatform, filename, { size: 512 })).rejects.toThrow(
      `Could not create '${filename}': No such file or directory`,
    );
  });

  test('leaves an image alone that somebody is using', async () => {
    const { platform, storage } = createSimulation(1);
    storage.writeFile('image', new Uint8Array(512).fill(3));
    const { driver } = await openDriver(file, platform, { filename: 'image' });
    await driver.checkPermissions!(Perm.consistentRead, Perm.consistentRead);
    await driver.setPermissions!(Perm.consistentRead, Perm.consistentRead);
    await expect(create(platform, 'image', { size: 1024 })).rejects.toThrow('Failed to get "write" lock');
    expect(storage.readFile('image')).toEqual(new Uint8Array(512).fill(3));
  });
});

describe('resizing', () => {
  async function opened(capacityBytes = Number.POSITIVE_INFINITY) {
    const simulation = createSimulation(1, { capacityBytes, fallocate: false });
    simulation.storage.writeFile('image', new Uint8Array(4096));
    return {
      simulation,
      driver: (await openDriver(file, simulation.platform, { filename: 'image' })).driver,
    };
  }

  test('does not preallocate when shrinking', async () => {
    const { driver } = await opened();
    await expect(driver.truncate!(512, { preallocation: 'full' })).rejects.toThrow(
      'Cannot use preallocation for shrinking files',
    );
  });

  test('gives up the whole when space runs out half way', async () => {
    const { driver } = await opened(1 << 20);
    await expect(driver.truncate!(3 << 20, { preallocation: 'full' })).rejects.toMatchObject({
      errno: 'ENOSPC',
      message: 'Could not write zeros for preallocation: No space left on device',
    });
    expect(await driver.getLength()).toBe(4096);
  });

  test('passes on why the host refuses', async () => {
    const { simulation, driver } = await opened();
    simulation.fail({ type: 'truncate', errno: 'EFBIG' });
    await expect(driver.truncate!(1 << 30, { preallocation: 'off' })).rejects.toThrow(
      'Could not resize file: File too large',
    );
  });
});

test('a file that ends within a sector reads as zeros up to the end of the sector', async () => {
  const { platform, storage } = createSimulation(1);
  storage.writeFile('image', new Uint8Array(1000).fill(1));
  const { driver } = await openDriver(file, platform, { filename: 'image' });
  expect(await driver.map!(512, 512)).toEqual({ type: 'own', bytes: 488, zero: false });
  expect(await driver.map!(1000, 24)).toEqual({ type: 'own', bytes: 24, zero: true });
  const buffer = new Uint8Array(512);
  await driver.read!(512, buffer);
  expect(buffer.lastIndexOf(1)).toBe(487);
});
