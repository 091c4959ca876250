/** The library of a page against its worker's service, both in Node: files of the host stand in for the browser's. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { V86Emulator } from '../../host/emulator/v86/emulator.ts';
import { openBlockyard } from '../../host/library/node.ts';
import type { Blockyard } from '../../host/library/yard.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const size = 4 << 20;
const scratch = scratchDirectory();
let tests = 0;
let yard: Blockyard;

beforeEach(async () => {
  tests++;
  yard = await openBlockyard();
});

afterEach(() => yard.close());

function path(name: string): string {
  return scratch(`${tests}-${name}`);
}

function makeBase(name = 'base.img'): string {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 4096) bytes[i] = i >> 12;
  writeFileSync(path(name), bytes);
  return path(name);
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

function read(disk: { get: (...args: never[]) => void }, offset: number, bytes: number): Promise<Uint8Array> {
  const get = disk.get as unknown as (start: number, bytes: number, done: (data: Uint8Array) => void) => void;
  return new Promise((resolve) => get.call(disk, offset, bytes, resolve));
}

class FakeEmulator implements V86Emulator {
  private isRunning = false;
  /** All that its state is about, behind the first word that those of v86 have. */
  memory = 0;

  constructor(private readonly calls: string[]) {}

  async run(): Promise<void> {
    this.calls.push('run');
    this.isRunning = true;
  }
  async stop(): Promise<void> {
    this.calls.push('stop');
    this.isRunning = false;
  }
  restart(): void {
    this.calls.push('restart');
  }
  is_running(): boolean {
    return this.isRunning;
  }
  async destroy(): Promise<void> {}
  async save_state(): Promise<ArrayBuffer> {
    return Uint32Array.of(0x86768676, this.memory).buffer;
  }
  async restore_state(state: ArrayBuffer): Promise<void> {
    this.memory = new Uint32Array(state)[1]!;
  }
  add_listener(): void {}
  remove_listener(): void {}
}

/** One whose guest can ask the chipset for soft-off. */
class SwitchableEmulator extends FakeEmulator {
  private write: (value: number) => void = () => {};
  readonly v86 = {
    cpu: {
      io: {
        ports: [],
        register_write: (
          _port: number,
          _device: unknown,
          _write8: undefined,
          write16: (value: number) => void,
        ) => {
          this.write = write16;
        },
      },
    },
  };

  switchOff(): void {
    this.write(1 << 13);
  }
}

describe('a yard', () => {
  test('runs commands, tells events and refuses with the words of the monitor', async () => {
    const events: string[] = [];
    yard.on('*', ({ event }) => events.push(event));
    expect(await yard.qmp('query-status')).toMatchObject({ status: 'running' });
    await yard.qmp('stop');
    await yard.qmp('cont');
    expect(events).toEqual(['STOP', 'RESUME']);
    await expect(yard.qmp('blockdev-del', { 'node-name': 'x' })).rejects.toThrow(
      "Failed to find node with node-name='x'",
    );
  });

  test('fails what waits for a block layer that is gone', async () => {
    const other = await openBlockyard();
    let ended = false;
    other.whenClosed(() => {
      ended = true;
    });
    const waiting = [other.qmp('query-status'), other.exportImage({ file: path('x') })];
    const outcomes = Promise.allSettled(waiting);
    other.abandon();
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(other.qmp('query-status')).rejects.toThrow('The monitor is closed');
    await other.close();
    expect(ended).toBe(true);
  });

  test('gives monitors to whoever asks', async () => {
    const port = yard.connectMonitor();
    const messages: string[] = [];
    const two = new Promise<void>((resolve) => {
      port.onmessage = ({ data }: MessageEvent<string>) => {
        messages.push(data);
        if (messages.length === 2) resolve();
      };
    });
    port.postMessage({ execute: 'qmp_capabilities' });
    await two;
    expect(Object.keys(JSON.parse(messages[0]!))).toEqual(['QMP']);
    expect(JSON.parse(messages[1]!)).toEqual({ return: {} });
    port.postMessage(null);
    port.close();
  });

  test('closes the port of a monitor that nobody will serve', async () => {
    const other = await openBlockyard();
    const port = other.connectMonitor();
    const closed = new Promise((resolve) => port.addEventListener('close', resolve));
    other.abandon();
    await closed;
  });

  test('stops, resumes and resets the emulator with the machine', async () => {
    const calls: string[] = [];
    const emulator = new FakeEmulator(calls);
    await yard.attach(emulator);
    await yard.qmp('stop');
    expect(emulator.is_running()).toBe(false);
    await yard.qmp('cont');
    await yard.qmp('system_reset');
    await yard.qmp('stop');
    expect(calls).toEqual(['run', 'stop', 'run', 'stop', 'restart', 'run', 'stop']);
    await yard.detach();
    await yard.qmp('cont');
    expect(calls.length).toBe(7);
  });

  test('stands when the guest switches itself off, until it is reset, and hears no emulator that was detached', async () => {
    const events: unknown[] = [];
    yard.on('*', ({ event, data }) => events.push([event, data]));
    const status = async () => (await yard.qmp('query-status')) as { status: string };
    const [first, second] = [new SwitchableEmulator([]), new SwitchableEmulator([])];
    await yard.attach(first);
    await yard.detach();
    await yard.attach(second);
    first.switchOff();
    expect(await status()).toMatchObject({ status: 'running' });
    for (let times = 1; times <= 2; times++) {
      second.switchOff();
      await expect.poll(status).toMatchObject({ status: 'shutdown' });
      expect(second.is_running()).toBe(false);
      await expect(yard.qmp('cont')).rejects.toThrow('Resetting the Virtual Machine is required');
      await yard.qmp('system_reset');
      await yard.qmp('cont');
      await expect.poll(() => second.is_running()).toBe(true);
    }
    const off = ['SHUTDOWN', { guest: true, reason: 'guest-shutdown' }];
    const again = ['RESET', { guest: false, reason: 'host-qmp-system-reset' }];
    const once = [off, ['STOP', {}], again, ['RESUME', {}]];
    expect(events).toEqual([...once, ...once]);
    await yard.detach();
  });

  test('lets an emulator that is made for a machine that stands read what it needs', async () => {
    await yard.qmp('stop');
    await yard.openOverlay({
      node: 'hda',
      file: path('hda.qcow2'),
      base: { driver: 'file', filename: makeBase() },
    });
    const disk = await yard.disk({ node: 'hda' });
    expect((await read(disk, 4096, 512))[0]).toBe(1);
  });

  test('has disks that v86 can use, on overlays that keep what is written', async () => {
    const base = makeBase();
    const options = { node: 'hda', file: path('hda.qcow2'), base: { driver: 'file', filename: base } };
    await yard.openOverlay(options);
    const disk = await yard.disk({ node: 'hda' });
    expect(disk.byteLength).toBe(size);
    expect((await read(disk, 4096, 512))[0]).toBe(1);
    await new Promise<void>((resolve) => disk.set(4096, new Uint8Array(512).fill(0xaa), resolve));
    await yard.close();

    yard = await openBlockyard();
    await yard.openOverlay(options);
    const again = await yard.disk({ node: 'hda' });
    expect(await read(again, 4096, 512)).toEqual(new Uint8Array(512).fill(0xaa));
    expect((await read(again, 8192, 512))[0]).toBe(2);
    expect(readFileSync(base)[4096]).toBe(1);
  });

  test('refuses an empty base, and leaves nothing open or made', async () => {
    const filename = path('empty.img');
    writeFileSync(filename, '');
    const opened = yard.openOverlay({
      node: 'hda',
      file: path('hda.qcow2'),
      base: { driver: 'file', filename },
    });
    await expect(opened).rejects.toThrow(`The base of overlay '${path('hda.qcow2')}' is empty`);
    expect(await yard.qmp('query-named-block-nodes')).toEqual([]);
    expect(existsSync(path('hda.qcow2'))).toBe(false);
  });

  test('stops the machine when a request fails, and tries again when it goes on', async () => {
    const events: string[] = [];
    yard.on('*', ({ event, data }) => {
      if (!event.startsWith('JOB'))
        events.push(event === 'BLOCK_IO_ERROR' ? `${data['operation']} fails` : event);
    });
    await yard.add({
      driver: 'blkdebug',
      'node-name': 'hda',
      image: { driver: 'file', filename: makeBase() },
      'inject-error': [
        { event: 'none', iotype: 'read', errno: 5, sector: 8, once: true },
        { event: 'none', iotype: 'write', errno: 28, sector: 16, once: true },
      ],
    });
    const { disk } = await yard.disk({ node: 'hda' });
    const stopped = (): Promise<void> =>
      new Promise((resolve) => {
        const end = yard.on('STOP', () => {
          end();
          resolve();
        });
      });
    const into = new Uint8Array(512);
    let [standing, request] = [stopped(), disk.read(4096, into)];
    await standing;
    expect(await yard.qmp('query-status')).toMatchObject({ status: 'io-error' });
    await yard.qmp('cont');
    await request;
    expect(into[0]).toBe(1);

    [standing, request] = [stopped(), disk.write(8192, new Uint8Array(512).fill(9))];
    await standing;
    await yard.qmp('cont');
    await request;
    expect(readFileSync(path('base.img'))[8192]).toBe(9);
    expect(events).toEqual(['read fails', 'STOP', 'RESUME', 'write fails', 'STOP', 'RESUME']);
  });

  test('gives a guest zeros for what cannot be read, and the content once it can, when told to report', async () => {
    await yard.add({
      driver: 'blkdebug',
      'node-name': 'hda',
      image: { driver: 'file', filename: makeBase() },
      'inject-error': [{ event: 'none', iotype: 'read', errno: 5, sector: 8, once: true }],
    });
    const { disk } = await yard.disk({ node: 'hda', rerror: 'report', werror: 'report' });
    const into = new Uint8Array(512).fill(7);
    await disk.read(4096, into);
    expect(into[0]).toBe(0);
    await disk.read(4096, into);
    expect(into[0]).toBe(1);
  });

  test('keeps the machine in its disks, and brings back both', async () => {
    await yard.createImage(path('hda.qcow2'), { size });
    const hda = {
      driver: 'qcow2',
      'node-name': 'hda',
      file: { driver: 'file', filename: path('hda.qcow2') },
    };
    await yard.add(hda);
    const { disk } = await yard.disk({ node: 'hda' });
    const valueNow = async (from = disk): Promise<number> => {
      const sector = new Uint8Array(512);
      await from.read(0, sector);
      return sector[0]!;
    };
    await expect(yard.saveMachine('one')).rejects.toThrow('There is no emulator');
    const emulator = new FakeEmulator([]);
    await yard.attach(emulator);
    for (const number of [1, 2]) {
      await disk.write(0, new Uint8Array(512).fill(number));
      emulator.memory = number;
      await yard.saveMachine(`at ${number}`);
    }
    // A browser counts a file's length, whether there are holes in it or not.
    expect(statSync(path('hda.qcow2')).size).toBeLessThan(2 << 20);
    await yard.loadMachine('at 1');
    expect([emulator.memory, await valueNow()]).toEqual([1, 1]);
    await expect.poll(() => emulator.is_running()).toBe(true);
    await yard.qmp('stop');
    await yard.loadMachine('at 2');
    expect([emulator.memory, emulator.is_running()]).toEqual([2, false]);
    await yard.qmp('cont');
    expect(await valueNow()).toBe(2);
    await yard.deleteMachine('at 2');
    await expect(yard.loadMachine('at 2')).rejects.toThrow(
      "Snapshot 'at 2' does not exist in one or more devices",
    );
    await yard.close();

    yard = await openBlockyard();
    await yard.add(hda);
    const again = await yard.disk({ node: 'hda' });
    const next = new FakeEmulator([]);
    await yard.attach(next);
    await yard.loadMachine('at 1');
    expect([next.memory, await valueNow(again.disk)]).toEqual([1, 1]);
  });

  test('keeps no machine in disks that cannot go back', async () => {
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: makeBase() });
    await yard.disk({ node: 'hda' });
    await yard.attach(new FakeEmulator([]));
    await expect(yard.saveMachine('one')).rejects.toThrow(
      "Device 'hda' is writable but does not support snapshots",
    );
    expect(await yard.qmp('query-status')).toMatchObject({ status: 'running' });
  });

  test('lets go of a disk, and gives it out again', async () => {
    makeBase();
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: path('base.img') });
    const disk = await yard.disk({ node: 'hda' });
    await expect(yard.remove('hda')).rejects.toThrow('in use');
    await yard.removeDisk(disk);
    const again = await yard.disk({ node: 'hda', kind: 'cdrom' });
    await yard.removeDisk(again);
    await yard.remove('hda');
  });

  test('refuses an overlay whose base has changed, unless told to take it', async () => {
    const base = makeBase();
    const options = { node: 'hda', file: path('hda.qcow2'), base: { driver: 'file', filename: base } };
    await yard.openOverlay(options);
    await yard.remove('hda');
    utimesSync(base, 1, 1);
    await expect(yard.openOverlay(options)).rejects.toThrow(
      /^The base of overlay '.*hda.qcow2' is not the one it was made on: it was changed at \S+ and now is changed at 1000$/,
    );
    expect(await yard.qmp('query-named-block-nodes')).toEqual([]);
    await yard.openOverlay({ ...options, acceptBase: true });
    await yard.remove('hda');
    await yard.openOverlay(options);
  });

  test('refuses an overlay of which nobody knows the base', async () => {
    const base = makeBase();
    writeFileSync(path('hda.qcow2'), 'whatever');
    const overlay = { node: 'hda', file: path('hda.qcow2'), base: { driver: 'file', filename: base } };
    await expect(yard.openOverlay(overlay)).rejects.toThrow('nothing says which base it was made on');
  });

  test('forgets Blobs that are taken back, and those of another yard never were its own', async () => {
    const disk = { driver: 'blob', filename: 'chosen', 'read-only': true };
    const absent = "Could not open 'chosen': No Blob of this name is registered";
    await yard.registerBlob('chosen', new Blob([new Uint8Array(512)]));
    await yard.add({ ...disk, 'node-name': 'open' });
    await yard.unregisterBlob('chosen');
    await expect(yard.add({ ...disk, 'node-name': 'again' })).rejects.toThrow(absent);
    const { stream } = await yard.exportImage({ node: 'open', format: 'raw' });
    expect((await collect(stream)).length).toBe(512);
    await yard.registerBlob('chosen', new Blob([new Uint8Array(512)]));
    const other = await openBlockyard();
    await expect(other.add({ ...disk, 'node-name': 'x' })).rejects.toThrow(absent);
    await other.close();
  });

  test('has overlays over Blobs', async () => {
    await yard.registerBlob('chosen', new Blob([new Uint8Array(65536).fill(5)]));
    const base = { driver: 'blob', filename: 'chosen' };
    await yard.openOverlay({ node: 'hda', file: path('hda.qcow2'), base });
    const disk = await yard.disk({ node: 'hda' });
    expect(await read(disk, 512, 512)).toEqual(new Uint8Array(512).fill(5));
  });

  test('tells what was read of an image on a web server, which fetches it in advance the next time', async () => {
    const server = new PageServer();
    const files = new Map<string, Uint8Array | string>([['/disk.img', readFileSync(makeBase())]]);
    server.find = (file) => files.get(file);
    const url = `${await server.start()}/disk.img`;
    try {
      const base = { driver: 'http', url, readahead: 0 };
      await yard.openOverlay({ node: 'hda', file: path('hda.qcow2'), base: { driver: 'raw', file: base } });
      await expect(yard.prefetchList('nobody')).rejects.toThrow("node-name='nobody'");
      const { disk } = await yard.disk({ node: 'hda' });
      for (const offset of [5 << 16, 1 << 16, 6 << 16]) await disk.read(offset, new Uint8Array(512));
      const list = await yard.prefetchList('hda');
      expect(list.ranges.slice(-3)).toEqual([
        [5 << 16, 1 << 16],
        [1 << 16, 1 << 16],
        [6 << 16, 1 << 16],
      ]);
      files.set('/disk.prefetch.json', JSON.stringify(list));
      server.ranges.length = 0;
      await yard.add({
        ...base,
        'node-name': 'again',
        'x-prefetch': 'disk.prefetch.json',
        'read-only': true,
      });
      // Neighbours come together.
      const listedBytes = list.ranges.reduce((sum, [, bytes]) => sum + bytes, 0);
      const fetchedBytes = (): number =>
        server.ranges.reduce((sum, range) => {
          const [first, last] = range.split(' ')[1]!.split('-').map(Number); // as `PATH FIRST-LAST`
          return sum + last! + 1 - first!; // both are there
        }, 0);
      await expect.poll(fetchedBytes).toBe(listedBytes);
      const again = await yard.disk({ node: 'again', kind: 'cdrom' });
      for (const offset of [5 << 16, 1 << 16, 6 << 16]) {
        const sector = await read(again, offset, 512);
        expect(sector[0]).toBe((offset >> 12) & 0xff);
      }
      expect(fetchedBytes()).toBe(listedBytes);
    } finally {
      await yard.close();
      await server.stop();
    }
  });

  test('has no list of what was read of other images', async () => {
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: makeBase() });
    await expect(yard.prefetchList('hda')).rejects.toThrow("Nothing of node 'hda' is on a web server");
  });

  test('has forks: overlays on one overlay', async () => {
    const base = { driver: 'file', filename: makeBase() };
    await yard.openOverlay({ node: 'trunk', file: path('trunk.qcow2'), base });
    await yard.openOverlay({ node: 'a', file: path('a.qcow2'), base: 'trunk' });
    await yard.openOverlay({ node: 'b', file: path('b.qcow2'), base: 'trunk' });
    const [a, b] = [await yard.disk({ node: 'a' }), await yard.disk({ node: 'b' })];
    await new Promise<void>((resolve) => a.set(0, new Uint8Array(512).fill(1), resolve));
    await new Promise<void>((resolve) => b.set(0, new Uint8Array(512).fill(2), resolve));
    expect((await read(a, 0, 512))[0]).toBe(1);
    expect((await read(b, 0, 512))[0]).toBe(2);
  });

  test('backs up two disks of one instant while they are written', async () => {
    const before = readFileSync(makeBase('one.img'));
    makeBase('two.img');
    for (const node of ['one', 'two']) {
      await yard.add({ driver: 'file', 'node-name': node, filename: path(`${node}.img`) });
    }
    const one = await yard.disk({ node: 'one' });
    const backup = await yard.backup({
      disks: { one: { target: path('one.qcow2') }, two: { target: path('two.raw'), format: 'raw' } },
    });
    await new Promise<void>((resolve) => one.set(0, new Uint8Array(65536).fill(0xee), resolve));
    await backup.done;
    expect(readFileSync(path('two.raw')).equals(before)).toBe(true);
    await yard.add({
      driver: 'qcow2',
      'node-name': 'copy',
      file: { driver: 'file', filename: path('one.qcow2') },
    });
    const { stream, bytes } = await yard.exportImage({ node: 'copy', format: 'raw' });
    expect(bytes).toBe(size);
    expect(Buffer.compare(await collect(stream), before)).toBe(0);
  });

  test('backs up what has changed since, in a chain', async () => {
    await yard.openOverlay({
      node: 'hda',
      file: path('hda.qcow2'),
      base: { driver: 'file', filename: makeBase() },
    });
    const disk = await yard.disk({ node: 'hda' });
    const full = await yard.backup({ disks: { hda: { target: path('0.qcow2'), bitmap: 'b' } } });
    await full.done;
    await new Promise<void>((resolve) => disk.set(4096, new Uint8Array(512).fill(0xee), resolve));
    const next = await yard.backup({
      disks: { hda: { target: path('1.qcow2'), bitmap: 'b', since: path('0.qcow2') } },
    });
    await next.done;
    await yard.add({
      driver: 'qcow2',
      'node-name': 'copy',
      file: { driver: 'file', filename: path('1.qcow2') },
    });
    const expected = readFileSync(path('base.img'));
    expected.fill(0xee, 4096, 4608);
    const { stream } = await yard.exportImage({ node: 'copy', format: 'raw' });
    expect(Buffer.compare(await collect(stream), expected)).toBe(0);
    expect(statSync(path('1.qcow2')).size).toBeLessThan(size / 2);
  });

  test('leaves nothing of a backup that does not begin, or is cancelled', async () => {
    makeBase();
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: path('base.img') });
    await expect(
      yard.backup({ disks: { hda: { target: path('a.qcow2') }, nobody: { target: path('b.qcow2') } } }),
    ).rejects.toThrow("There is no node 'nobody'");
    expect(existsSync(path('a.qcow2'))).toBe(false);

    const slow = await yard.backup({ disks: { hda: { target: path('a.qcow2') } }, speed: 65536 });
    await slow.cancel();
    await expect(slow.done).rejects.toThrow("Backup of 'hda': The backup was cancelled");
    expect(existsSync(path('a.qcow2'))).toBe(false);
    expect(await yard.qmp('query-jobs')).toEqual([]);
  });

  test('does not overwrite a file with a backup', async () => {
    makeBase();
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: path('base.img') });
    writeFileSync(path('kept'), 'kept');
    await expect(yard.backup({ disks: { hda: { target: path('kept') } } })).rejects.toThrow('exists');
    expect(readFileSync(path('kept'), 'utf8')).toBe('kept');
  });

  test('gives out files as they are, and stops when nobody wants the rest', async () => {
    const base = readFileSync(makeBase());
    const { stream, bytes } = await yard.exportImage({ file: path('base.img') });
    expect(bytes).toBe(size);
    expect(Buffer.compare(await collect(stream), base)).toBe(0);
    const again = await yard.exportImage({ file: path('base.img') });
    const reader = again.stream.getReader();
    await reader.read();
    await reader.cancel();
    await expect(yard.exportImage({ file: path('absent') })).rejects.toThrow('No such file or directory');
  });

  test('does not give out a disk that is being written', async () => {
    makeBase();
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: path('base.img') });
    await yard.disk({ node: 'hda' });
    await expect(yard.exportImage({ node: 'hda', format: 'raw' })).rejects.toThrow('Permission conflict');
  });

  test.skipIf(!haveQemu)('gives out disks as qcow2 images that QEMU finds clean', async () => {
    const content = new Uint8Array(600 << 20);
    content.fill(1, 0, 512);
    content.fill(2, 70_000, 300_000);
    content.fill(3, content.length - 512);
    writeFileSync(path('base.img'), '');
    truncateSync(path('base.img'), content.length + 512);
    const file = openSync(path('base.img'), 'r+');
    for (const [from, to] of [
      [0, 512],
      [70_000, 300_000],
      [content.length - 512, content.length],
    ]) {
      writeSync(file, content.subarray(from, to), 0, to! - from!, from!);
    }
    closeSync(file);
    await yard.add({ driver: 'file', 'node-name': 'hda', filename: path('base.img') });
    const { stream, bytes } = await yard.exportImage({ node: 'hda', format: 'qcow2' });
    const image = await collect(stream);
    expect(image.length).toBe(bytes);
    expect(image.length).toBeLessThan(2 << 20);
    writeFileSync(path('out.qcow2'), image);
    const run = (...args: string[]): string =>
      execFileSync('timeout', ['-k', '2', '20', 'qemu-img', ...args], { encoding: 'utf8' });
    expect(run('check', path('out.qcow2'))).toContain('No errors were found');
    expect(run('compare', '-f', 'raw', '-F', 'qcow2', path('base.img'), path('out.qcow2'))).toContain(
      'Images are identical',
    );
  });
});
