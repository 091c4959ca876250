import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fc, test as property } from '@fast-check/vitest';
import { afterEach, describe, expect, test } from 'vitest';
import { type FlushPolicy, LocalGuestDisk } from '../../host/emulator/local-disk.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { plug, TestMachine, type TestMachineOptions } from '../support/machine.ts';
import { createByQemu, run } from '../support/qemu.ts';
import { readImage } from '../support/read-image.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { VirtualPlatform } from '../support/virtual-platform.ts';

const scratch = scratchDirectory();
const sector = 512;
const filled = (value: number, bytes = sector): Uint8Array => new Uint8Array(bytes).fill(value);

let running: TestMachine | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

/** A machine that runs, with one disk whose image is an array. */
async function withDisk(
  policies = '',
  flush?: FlushPolicy,
  options: TestMachineOptions = {},
): Promise<{ vm: TestMachine; image: ArrayDisk; disk: LocalGuestDisk }> {
  const images: ArrayDisk[] = [];
  const vm = await TestMachine.start({
    moreDrivers: [arrayProtocol(images)],
    nodes: [{ driver: 'array', 'node-name': 'n', size: 64 * sector }],
    devices: [`ide-hd,drive=n,id=d,bus=ide.0${policies}`],
    ...options,
  });
  running = vm;
  await vm.run('cont');
  await vm.takeEvents();
  return { vm, image: images[0]!, disk: new LocalGuestDisk(vm.device('d'), flush) };
}

async function read(disk: LocalGuestDisk, offset: number, bytes = sector): Promise<Uint8Array> {
  const into = filled(0xcc, bytes);
  await disk.read(offset, into);
  return into;
}

/** A gate for an image, and what opens it. */
function gate(image: ArrayDisk): () => void {
  let open = (): void => {};
  image.gate = new Promise((resolve) => {
    open = () => {
      image.gate = undefined;
      resolve();
    };
  });
  return open;
}

describe('the disk of a device', () => {
  test('has the length of its medium and keeps what is written', async () => {
    const { disk } = await withDisk();
    expect(disk.byteLength).toBe(64 * sector);
    expect(disk.isReadOnly).toBe(false);
    await disk.write(sector, filled(3));
    expect(await read(disk, 0, 3 * sector)).toEqual(
      new Uint8Array([...filled(0), ...filled(3), ...filled(0)]),
    );
  });

  test('can be read as long as no guest can run, and waits when a guest was stopped', async () => {
    const { vm, disk } = await withDisk();
    await vm.run('stop');
    expect(await read(disk, 0)).toEqual(filled(0));
    vm.machine.processor = { run: () => {}, halt: async () => {}, reset: async () => {} };
    let done = false;
    const reading = read(disk, 0).then(() => {
      done = true;
    });
    await vm.run('query-status');
    expect(done).toBe(false);
    await vm.run('cont');
    await reading;
    await vm.close();
    const fresh = await TestMachine.start({
      nodes: [{ driver: 'null-co', 'node-name': 'n', size: 64 * sector, 'read-zeroes': true }],
      devices: ['ide-hd,drive=n,id=d,bus=ide.0'],
    });
    running = fresh;
    expect(await read(new LocalGuestDisk(fresh.device('d')), 0)).toEqual(filled(0));
  });

  test('lets a read settle when it is aborted', async () => {
    const { image, disk } = await withDisk();
    const open = gate(image);
    const abort = new AbortController();
    const reading = disk.read(0, filled(0), abort.signal);
    abort.abort();
    await reading;
    open();
    await disk.flush();
    const late = filled(7);
    await disk.read(0, late, abort.signal);
    expect(late).toEqual(filled(7));
  });

  test.each([
    ['report', 'rerror=report,werror=report'],
    ['ignore', 'rerror=ignore,werror=ignore'],
  ])(
    'gives zeros and drops writes when errors are to be treated by %s, and tells so',
    async (action, policies) => {
      const { vm, image, disk } = await withDisk(`,${policies}`);
      image.bytes.fill(5);
      image.failNext = { op: 'read', errno: 'EIO' };
      expect((await read(disk, 0)).subarray(0, 4)).toEqual(filled(0, 4));
      image.failNext = { op: 'write', errno: 'EIO' };
      await disk.write(0, filled(9));
      expect(image.bytes[0]).toBe(5);
      const events = await vm.takeEvents();
      expect(
        events.map((event) => event.replace(/ .*"action":"(\w+)".*"operation":"(\w+)".*/, ' $1 $2')),
      ).toEqual([`BLOCK_IO_ERROR ${action} read`, `BLOCK_IO_ERROR ${action} write`]);
    },
  );

  test('tries again what has stopped the machine', async () => {
    const { vm, image, disk } = await withDisk();
    image.failNext = { op: 'write', errno: 'ENOSPC' };
    const written = disk.write(0, filled(9));
    const reading = read(disk, 0);
    await vm.run('query-version');
    expect(await vm.run('query-status')).toMatchObject({ status: 'io-error' });
    await vm.run('cont');
    await written;
    expect(await reading).toEqual(filled(9));
  });

  test('makes writes durable one by one, before they settle, where that is its policy', async () => {
    const { image, disk } = await withDisk('', { safe: 'power' });
    await disk.write(0, filled(1));
    expect(image.log).toEqual(['write 0+512', 'flush 0+0']);
    await disk.write(sector, filled(1));
    expect(image.log.slice(2)).toEqual(['write 512+512', 'flush 0+0']);
  });

  test('does not flush where only the process may die', async () => {
    const { image, disk } = await withDisk();
    await disk.write(0, filled(1));
    expect(image.log).toEqual(['write 0+512']);
    await disk.flush();
    expect(image.log).toEqual(['write 0+512', 'flush 0+0']);
  });

  test('flushes what was written after a while, once', async () => {
    const platform = new VirtualPlatform();
    const { image, disk } = await withDisk('', { safe: 'process', flushMs: 50 }, { platform });
    await disk.write(0, filled(1));
    await disk.write(sector, filled(1));
    expect(image.log).toEqual(['write 0+512', 'write 512+512']);
    await platform.advance(50_000_000);
    expect(image.log.slice(2)).toEqual(['flush 0+0']);
    await platform.advance(500_000_000);
    expect(image.log.slice(3)).toEqual([]);
  });

  test('counts its writes from a snapshot on', async () => {
    const { disk } = await withDisk();
    await disk.write(0, filled(1));
    expect(disk.getReference()).toEqual({ snapshot: '', generation: 1 });
    disk.setReference({ snapshot: 's', generation: 0 });
    await disk.write(0, filled(1));
    expect(disk.getReference()).toEqual({ snapshot: 's', generation: 1 });
  });

  test.skipIf(!haveQemu)(
    'has every answered write in a sound qcow2 file at any moment, without a flush',
    async () => {
      const path = scratch('disk.qcow2');
      const copy = scratch('copy.qcow2');
      const bytes = 4 << 20;
      createByQemu(path, bytes, { options: 'cluster_size=4k' });
      running = await TestMachine.start({
        drives: [`if=none,format=qcow2,id=q,file=${path},discard=unmap`],
        devices: ['ide-hd,drive=q,id=d,bus=ide.0'],
      });
      await running.run('cont');
      const disk = new LocalGuestDisk(running.device('d'));
      const model = new Uint8Array(bytes);
      for (let round = 1; round <= 12; round++) {
        const writes = Array.from({ length: 6 }, (_, i) => {
          const offset = ((round * 7919 + i * 104729) % 8000) * sector;
          const data = filled(round * 16 + i, sector * (1 + (i % 12)));
          model.set(data, offset);
          return disk.write(offset, data);
        });
        await Promise.all(writes);
        if (round % 4 === 0)
          await running
            .device('d')
            .front.discard(0, 256 << 10)
            .then(() => model.fill(0, 0, 256 << 10));
        copyFileSync(path, copy);
        const { stdout } = spawnSync('qemu-img', ['check', '--output=json', copy], { encoding: 'utf8' });
        const found = JSON.parse(stdout) as { corruptions?: number; leaks?: number };
        expect(found.corruptions).toBeUndefined();
        // What was discarded is counted down when it is durable that nothing refers to it.
        if (round < 4) expect(found.leaks).toBeUndefined();
        const content = await readImage(nodePlatform, copy, bytes);
        if (round % 4 !== 0) expect(Buffer.compare(content, model), `round ${round}`).toBe(0);
      }
    },
  );
});

const accesses = fc.array(
  fc.record({
    op: fc.constantFrom('read' as const, 'write' as const, 'wait' as const),
    start: fc.nat(500),
    count: fc.integer({ min: 1, max: 40 }),
    value: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 5, maxLength: 60 },
);

let overlays = 0;

/** An overlay, and what it shows. */
function makeOverlay(bytes: number): { path: string; content: Uint8Array } {
  const [base, path] = [scratch(`base${++overlays}.qcow2`), scratch(`top${overlays}.qcow2`)];
  createByQemu(base, bytes, { options: 'cluster_size=2k' });
  run('qemu-io', '-f', 'qcow2', '-c', 'write -q -P 17 20k 60k', '-c', 'write -q -z 64k 8k', base);
  createByQemu(path, undefined, { options: 'cluster_size=4k', backing: { file: base, format: 'qcow2' } });
  const content = new Uint8Array(bytes).fill(17, 20 << 10, 80 << 10).fill(0, 64 << 10, 72 << 10);
  return { path, content };
}

describe.skipIf(!haveQemu)('an overlay', () => {
  property.prop([accesses], { numRuns: 15 })(
    'shows what is being written, at once where it can',
    async (steps) => {
      const bytes = 512 * sector;
      const { path, content } = makeOverlay(bytes);
      const vm = await TestMachine.start({
        drives: [`if=none,format=qcow2,id=q,file=${path}`],
        devices: ['ide-hd,drive=q,id=d,bus=ide.0'],
      });
      await vm.run('cont');
      try {
        await compareAccesses(new LocalGuestDisk(vm.device('d')), content, steps);
      } finally {
        await vm.close();
      }
    },
  );
});

type Access = { op: 'read' | 'write' | 'wait'; start: number; count: number; value: number };

async function compareAccesses(
  disk: LocalGuestDisk,
  content: Uint8Array,
  steps: readonly Access[],
): Promise<void> {
  const reads: Promise<void>[] = [];
  for (const { op, start, count, value } of steps) {
    const offset = start * sector;
    const length = Math.min(count * sector, content.length - offset);
    if (op === 'wait') await disk.flush();
    else if (op === 'write') {
      void disk.write(offset, filled(value, length));
      content.fill(value, offset, offset + length);
    } else {
      const into = new Uint8Array(length);
      const expected = content.slice(offset, offset + length);
      const compare = (): void => expect(Buffer.compare(into, expected)).toBe(0);
      const reading = disk.read(offset, into);
      if (reading !== undefined) reads.push(reading.then(compare));
      else compare();
    }
  }
  await Promise.all(reads);
  await disk.flush();
  const all = new Uint8Array(content.length);
  await disk.read(0, all);
  expect(Buffer.compare(all, content)).toBe(0);
}

test('is not read at once while anybody holds it up', async () => {
  const { vm, image, disk } = await withDisk();
  image.bytes.fill(6);
  Object.assign(image, {
    readNow: (offset: number, buffer: Uint8Array): boolean => {
      buffer.set(image.bytes.subarray(offset, offset + buffer.length));
      return true;
    },
  });
  const into = filled(0);
  const { backend } = vm.device('d').front;
  expect(disk.read(0, into)).toBeUndefined();
  expect(into).toEqual(filled(6));
  expect(backend.statistics.counters.read).toMatchObject({ operations: 1, bytes: sector });

  const limits = { bps: 1 << 30, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };
  await vm.run('block_set_io_throttle', { id: 'd', ...limits });
  await expect(disk.read(0, into)).resolves.toBeUndefined();
  await vm.run('block_set_io_throttle', { id: 'd', ...limits, bps: 0 });
  expect(disk.read(0, into)).toBeUndefined();

  const drained = await vm.server.graph.drainAllBegin();
  const held = disk.read(0, into);
  expect(held).toBeInstanceOf(Promise);
  vm.server.graph.drainAllEnd(drained);
  await held;

  await vm.run('stop');
  const waiting = disk.read(0, into);
  expect(waiting).toBeInstanceOf(Promise);
  await vm.run('cont');
  await waiting;
});

/** What a process that dies here leaves: the file, what the guest was told is in it, and what it was not told about. */
interface Moment {
  file: Uint8Array;
  told: Uint8Array;
  underWay: { offset: number; data: Uint8Array } | undefined;
}

test.skipIf(!haveQemu)(
  'a process that dies at any write to the file leaves a sound image with all answered writes',
  async () => {
    const path = scratch('dies.qcow2');
    const bytes = 2 << 20;
    createByQemu(path, bytes, { options: 'cluster_size=1k,refcount_bits=64' });
    const images: ArrayDisk[] = [];
    const vm = await TestMachine.start({
      moreDrivers: [arrayProtocol(images)],
      nodes: [{ driver: 'array', 'node-name': 'n', size: statSync(path).size }],
    });
    running = vm;
    const image = images[0]!;
    image.bytes.set(readFileSync(path));
    await vm.server.runLocally('blockdev-add', () => ({ driver: 'qcow2', 'node-name': 'q', file: 'n' }));
    await plug(vm.machine, 'virtio-blk-pci,drive=q,id=d');
    await vm.run('cont');
    const disk = new LocalGuestDisk(vm.device('d'));

    const told = new Uint8Array(bytes);
    const moments: Moment[] = [];
    let underWay: Moment['underWay'];
    const write = image.write.bind(image);
    image.write = async (offset, data) => {
      await write(offset, data);
      // After the first they are taken at a distance that has nothing to do with how many belong to one request.
      if (image.log.length % 7 === 0)
        moments.push({ file: image.bytes.slice(), told: told.slice(), underWay });
    };
    for (let i = 0; i < 60; i++) {
      const data = filled(1 + (i % 250), sector * (1 + ((i * 5) % 9)));
      underWay = { offset: ((i * 7919) % 4000) * sector, data };
      await disk.write(underWay.offset, data);
      told.set(data, underWay.offset);
      underWay = undefined;
      if (i % 20 === 19) await disk.flush();
    }
    expect(moments.length).toBeGreaterThan(20);
    for (const moment of moments) {
      writeFileSync(path, moment.file);
      const { stdout } = spawnSync('qemu-img', ['check', '--output=json', path], { encoding: 'utf8' });
      const found = JSON.parse(stdout) as { corruptions?: number; 'check-errors': number };
      expect([found.corruptions, found['check-errors']]).toEqual([undefined, 0]);
      const content = await readImage(nodePlatform, path, bytes);
      for (let at = 0; at < bytes; at += sector) {
        const got = content.subarray(at, at + sector);
        if (Buffer.compare(got, moment.told.subarray(at, at + sector)) === 0) continue;
        const { offset, data } = moment.underWay!;
        expect(got).toEqual(data.subarray(at - offset, at - offset + sector));
      }
    }
  },
);

const sectors = 8;
const step = fc.record({
  op: fc.constantFrom('read' as const, 'write' as const),
  start: fc.nat(sectors - 1),
  count: fc.integer({ min: 1, max: 4 }),
  value: fc.integer({ min: 1, max: 255 }),
  holds: fc.boolean(),
});

property.prop([fc.array(step, { maxLength: 30 })], { numRuns: 40 })(
  'a read sees all writes made before it and none made after',
  async (steps) => {
    const { vm, image, disk } = await withDisk();
    const model = new Uint8Array(sectors * sector);
    const reads: Promise<void>[] = [];
    let open = (): void => {};
    for (const { op, start, count, value, holds } of steps) {
      open();
      if (holds) open = gate(image);
      const offset = start * sector;
      const bytes = Math.min(count, sectors - start) * sector;
      if (op === 'write') {
        const data = filled(value, bytes);
        void disk.write(offset, data);
        data.fill(0);
        model.fill(value, offset, offset + bytes);
      } else {
        const expected = model.slice(offset, offset + bytes);
        reads.push(read(disk, offset, bytes).then((got) => expect(got).toEqual(expected)));
      }
    }
    open();
    await Promise.all(reads);
    await disk.flush();
    expect(image.bytes.subarray(0, model.length)).toEqual(model);
    running = undefined;
    await vm.close();
  },
);
