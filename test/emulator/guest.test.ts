/** The embedded guest in the real v86: its console, its records, and that copies of its disks prove what they should. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { guestKernel } from '../../host/emulator/guest/index.ts';
import { proveOneInstant, type RecordDisk } from '../../host/emulator/guest/linked-records.ts';
import { recordDisk } from '../support/record-disk.ts';
import { installedV86 } from '../support/v86.ts';

const diskBytes = 4 << 20;

/** Over all disks: writes that are not done, and the most of them at a time. */
const unanswered = { now: 0, most: 0 };

/** A disk in memory, with the members that v86 asks for. A write is done some time after it was asked for. */
class MemoryDisk {
  onload?: (event: object) => void;
  /** What it was asked for. */
  log: string[] = [];

  constructor(readonly data = new Uint8Array(diskBytes)) {}

  get byteLength(): number {
    return this.data.length;
  }

  load(): void {
    this.onload?.({});
  }

  get(start: number, bytes: number, done: (data: Uint8Array) => void): void {
    this.log.push(`read ${start} ${bytes}`);
    done(this.data.slice(start, start + bytes));
  }

  set(start: number, data: Uint8Array, done?: () => void): void {
    this.log.push(`write ${start} ${data.length}`);
    const copy = data.slice();
    unanswered.most = Math.max(unanswered.most, ++unanswered.now);
    setImmediate(() => {
      this.data.set(copy, start);
      unanswered.now--;
      done?.();
    });
  }

  get_and_cache(start: number, bytes: number, done: (data: Uint8Array) => void): void {
    this.get(start, bytes, done);
  }

  get_from_cache(start: number, bytes: number): Uint8Array {
    return this.data.slice(start, start + bytes);
  }

  get_state(): unknown[] {
    return [];
  }

  set_state(): void {}
}

interface Emulator {
  add_listener(event: string, listener: (value: number) => void): void;
  serial_send_bytes(serial: number, bytes: Uint8Array): void;
  destroy(): Promise<void>;
}

class Guest {
  private output = '';
  private wake: () => void = () => {};

  private constructor(private readonly emulator: Emulator) {
    emulator.add_listener('serial0-output-byte', (byte) => {
      this.output += String.fromCharCode(byte);
      this.wake();
    });
  }

  static async boot(disks: readonly MemoryDisk[]): Promise<Guest> {
    const { V86, options } = installedV86!; // those without it are skipped
    const [hda, hdb] = disks;
    const Constructor = V86 as unknown as new (options: object) => Emulator;
    return new Guest(
      new Constructor({
        ...options,
        autostart: true,
        multiboot: guestKernel(),
        ...(hda ? { hda } : {}),
        ...(hdb ? { hdb } : {}),
      }),
    );
  }

  /** Everything up to `pattern`, which is taken. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) {
        this.output = this.output.slice(found.index + found[0].length);
        return found;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async run(line: string, pattern: RegExp): Promise<RegExpExecArray> {
    this.emulator.serial_send_bytes(0, new TextEncoder().encode(`${line}\r`));
    await this.until(new RegExp(`${line}\\r\\n`));
    const found = await this.until(pattern);
    await this.until(/> /);
    return found;
  }

  /** Waits until it has written so many more. */
  async write(more: number): Promise<void> {
    const count = async (): Promise<number> =>
      Number((await this.run('status', /(\d+) records on each disk, \d+ per second, running/))[1]);
    const enough = (await count()) + more;
    while ((await count()) < enough);
  }

  destroy(): Promise<void> {
    return this.emulator.destroy();
  }
}

const copyOf = (disk: MemoryDisk): RecordDisk => recordDisk(disk.data.slice());

describe.skipIf(!installedV86)('the embedded guest', () => {
  let disks: [MemoryDisk, MemoryDisk];
  let guest: Guest;

  beforeEach(async () => {
    disks = [new MemoryDisk(), new MemoryDisk()];
    guest = await Guest.boot(disks);
    await guest.until(/found 0 records on the first disk, 0 on the second\r\n> /);
  });

  afterEach(() => guest.destroy());

  test('writes at the rate it is told, stops, and finds no mistake', async () => {
    await guest.run('rate 0', /running/);
    await guest.write(5);
    const [, count] = await guest.run('stop', /(\d+) records on each disk, \d+ per second, stopped/);
    const proof = await proveOneInstant([copyOf(disks[0]), copyOf(disks[1])]);
    expect(proof).toEqual({ records: [Number(count), Number(count)], violations: [] });
    await guest.run('verify', new RegExp(`verified ${count} records on each disk, no mistake`));
  });

  test('sees when a record is not what it wrote', async () => {
    await guest.run('stop', /stopped/);
    await guest.run('rate 0', /stopped/);
    await guest.run('start', /found/);
    await guest.write(5);
    await guest.run('stop', /stopped/);
    disks[1].data[2 * 512 + 100]! ^= 1;
    await guest.run('verify', /MISTAKE in slot 2 of disk 1/);
  });

  test('tells copies of one instant from copies of two', async () => {
    await guest.run('rate 0', /running/);
    await guest.write(5);
    const early = disks.map(copyOf) as [RecordDisk, RecordDisk];
    await guest.write(5);
    const late = disks.map(copyOf) as [RecordDisk, RecordDisk];
    const wrong = async (...copies: [RecordDisk, RecordDisk]): Promise<boolean> =>
      (await proveOneInstant(copies)).violations.length > 0;
    expect([await wrong(...early), await wrong(...late)]).toEqual([false, false]);
    expect(await wrong(early[0], late[1])).toBe(true);
    expect(await wrong(late[0], early[1])).toBe(true);
  });

  test('goes on where the disks end, and completes a pair that was begun', async () => {
    await guest.run('rate 0', /running/);
    await guest.write(5);
    const [, count] = await guest.run('stop', /(\d+) records/);
    await guest.destroy();
    disks[1].data.fill(0, (Number(count) - 1) * 512);
    guest = await Guest.boot(disks);
    await guest.until(
      new RegExp(`found ${count} records on the first disk, ${Number(count) - 1} on the second`),
    );
    await guest.until(/> /);
    await guest.run('stop', /stopped/);
    await guest.run('verify', /no mistake/);
  });

  test('leaves disks alone that do not belong together, until it is told to clear them', async () => {
    await guest.run('rate 0', /running/);
    await guest.write(5);
    await guest.run('stop', /stopped/);
    await guest.destroy();
    disks[1].data.fill(0);
    guest = await Guest.boot(disks);
    await guest.until(/do not belong together.*\r\n> /);
    await guest.run('status', /stopped/);
    await guest.run('clear', /cleared/);
    expect(disks.every(({ data }) => data.every((byte) => byte === 0))).toBe(true);
    await guest.run('start', /found 0/);
    await guest.run('stop', /stopped/);
  });

  test('begins a record when the one before is on its disk', async () => {
    unanswered.most = 0;
    await guest.run('rate 0', /running/);
    await guest.write(5);
    expect(unanswered.most).toBe(1);
  });

  test('writes nothing to disks that hold something else, though they have no boot sector', async () => {
    await guest.run('stop', /stopped/);
    await guest.destroy();
    for (const disk of disks) disk.data.fill(0);
    // As a file system has it: nothing in the first sectors.
    disks[1].data.fill(0xaa, 64 << 10, 65 << 10);
    const before = disks.map(({ data }) => data.slice());
    guest = await Guest.boot(disks);
    await guest.until(/there is something else on the disks; nothing is written\r\n> /);
    await guest.run('start', /nothing is written/);
    await guest.run('status', /0 records on each disk, 0 per second, stopped/);
    expect(disks.every(({ data }, i) => Buffer.compare(data, before[i]!) === 0)).toBe(true);
  });

  test('makes a load of requests in order or at random, on disks without records', async () => {
    await guest.run('load w 8 3', /the disks have records/);
    await guest.run('stop', /stopped/);
    await guest.run('clear', /cleared/);
    disks[0].log = [];
    await guest.run('load w 128 3', /done/);
    expect(disks[0].log).toEqual([0, 1, 2].map((i) => `write ${i * 65536} 65536`));
    expect(disks[0].data.subarray(0, 3 * 65536).every((byte) => byte === 0xa5)).toBe(true);
    disks[0].log = [];
    await guest.run('load R 8 50', /done/);
    const places = disks[0].log.map((line) => Number(/^read (\d+) 4096$/.exec(line)?.[1]));
    expect(places.length).toBe(50);
    expect(new Set(places).size).toBeGreaterThan(40);
    expect(places.every((place) => place % 4096 === 0 && place < diskBytes)).toBe(true);
    for (const line of ['load x 8 3', 'load r 129 3', 'load r 0 3', 'load r 8', 'load r 8 3x']) {
      await guest.run(line, /unknown command/);
    }
  });

  test('stops when the disks are full', async () => {
    await guest.run('rate 0', /running/);
    await guest.until(/the disks are full/);
    await guest.run(
      'status',
      new RegExp(`${diskBytes / 512} records on each disk, \\d+ per second, stopped`),
    );
  });

  test('says what it does not understand, and edits lines', async () => {
    await guest.run('nosuch', /unknown command/);
    await guest.run('rate x', /unknown command/);
    await guest.run('help', /remove all records/);
  });
});

test.skipIf(!installedV86)('the embedded guest without disks says so', async () => {
  const guest = await Guest.boot([]);
  await guest.until(/there are no two disks\r\n> /);
  await guest.run('verify', /unknown command/);
  await guest.destroy();
});
