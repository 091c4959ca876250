/**
 * An NBD server that is killed (SIGKILL) while clients write: whatever a client was told to be durable (by FUA, or by a FLUSH
 * that came after) is in the image, and QEMU finds no damage in it. A client that is killed leaves the server as it was for
 * the others, and its own durable writes where they are.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import type * as net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { sectorBytes } from '../../../host/base/sectors.ts';
import { Command, CommandFlag, Option } from '../../../host/nbd/constants.ts';
import { bundle } from '../../support/cli.ts';
import { connectWhenListening } from '../../support/connect-when-listening.ts';
import { hello, infoFor, option, request } from '../../support/nbd-messages.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';

const kills = Number(process.env['NBD_KILLS'] ?? 6);
const firstSeed = Number(process.env['NBD_KILLS_SEED'] ?? 1);

const blockBytes = 4096;
const blocks = 2048;
const depth = 8;
/** Of a simple reply: its magic, an error, the cookie. */
const replyBytes = 16;
/** `qemu-img check`: nothing, or nothing but leaks. */
const soundStatuses = [0, 3];

const scratch = scratchDirectory();
const socket = (): string => scratch('s');

/** What blocks hold at least: a value that is durable, or one of those that were written after it. */
class Expected {
  private readonly written = new Map<number, number[]>();

  write(block: number, value: number): void {
    const values = this.written.get(block) ?? [0];
    values.push(value);
    this.written.set(block, values);
  }

  /** Nothing before that value is there any more. */
  durable(block: number, value: number): void {
    const values = this.written.get(block)!; // written before it was durable
    const from = values.indexOf(value);
    // Something newer was durable already when it is gone.
    if (from >= 0) this.written.set(block, values.slice(from));
  }

  /** Sectors are whole; a write that nobody waited for may have been cut off between two. */
  check(content: Buffer): void {
    for (const [block, values] of this.written) {
      for (let at = 0; at < blockBytes; at += sectorBytes) {
        const sector = content.subarray(block * blockBytes + at, block * blockBytes + at + sectorBytes);
        const found = sector.readUInt32LE();
        const name = `block ${block} at ${at}`;
        expect(values, name).toContain(found);
        expect(sector.equals(Buffer.alloc(sectorBytes, valueBytes(found))), name).toBe(true);
      }
    }
  }
}

function valueBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Writes to random blocks, `depth` at a time and one at a time to each, with FUA now and then, or flushes. */
class Guest {
  /** Requests whose answers are to come, by their cookies. */
  private readonly asked = new Map<number, { answered: () => void }>();
  private readonly busy = new Set<number>();
  /** Values of blocks whose writes have been answered: what a FLUSH that is asked for now makes durable. */
  private readonly answered = new Map<number, number>();
  private unread = Buffer.alloc(0);
  private cookie = 0;
  isGone = false;
  answers = 0;

  private constructor(
    private readonly stream: net.Socket,
    private readonly random: Seeded,
    private readonly expected: Expected,
    /** Blocks from here on, so many. */
    private readonly range: readonly [number, number],
  ) {}

  static async start(random: Seeded, expected: Expected, range: readonly [number, number]): Promise<Guest> {
    const stream = await connectWhenListening(socket(), () => expect(server.exitCode).toBe(null));
    const guest = new Guest(stream, random, expected, range);
    stream.write(Buffer.concat([hello(), option(Option.go, infoFor(''))]));
    await vi.waitUntil(() => stream.readableLength > 100, { interval: 1, timeout: 10_000 });
    // All of the negotiation has come: nothing follows before a request.
    await delay(5);
    stream.read();
    stream.on('data', (bytes: Buffer) => guest.receive(bytes));
    stream.on('error', () => {});
    stream.on('close', () => void (guest.isGone = true));
    for (let i = 0; i < depth; i++) guest.next();
    return guest;
  }

  leave(): void {
    this.stream.destroy();
  }

  private receive(bytes: Buffer): void {
    this.unread = Buffer.concat([this.unread, bytes]);
    while (this.unread.length >= replyBytes) {
      expect(this.unread.readUInt32BE(4)).toBe(0);
      const cookie = Number(this.unread.readBigUInt64BE(8));
      this.unread = this.unread.subarray(replyBytes);
      const { answered } = this.asked.get(cookie)!; // it answers what was asked
      this.asked.delete(cookie);
      this.answers++;
      answered();
      this.next();
    }
  }

  private next(): void {
    if (this.isGone) return;
    if (this.random.oneIn(20)) this.flush();
    else this.write();
  }

  private write(): void {
    const [first, count] = this.range;
    const block = first + this.random.below(count);
    if (this.busy.has(block)) {
      this.flush();
      return;
    }
    const value = ++lastValue;
    const isFua = this.random.oneIn(4);
    this.busy.add(block);
    this.expected.write(block, value);
    const data = Buffer.alloc(blockBytes, valueBytes(value));
    const flags = isFua ? CommandFlag.fua : 0;
    this.ask(Command.write, block * blockBytes, blockBytes, { data, flags }, () => {
      this.busy.delete(block);
      this.answered.set(block, value);
      if (isFua) this.expected.durable(block, value);
    });
  }

  private flush(): void {
    const flushed = [...this.answered];
    this.answered.clear();
    this.ask(Command.flush, 0, 0, {}, () => {
      for (const [block, value] of flushed) this.expected.durable(block, value);
    });
  }

  private ask(command: number, offset: number, bytes: number, options: object, answered: () => void): void {
    const cookie = ++this.cookie;
    this.asked.set(cookie, { answered });
    this.stream.write(request(command, offset, bytes, { ...options, cookie }));
  }
}

let lastValue = 0;

function serve(image: string): ChildProcess {
  rmSync(socket(), { force: true });
  const options = ['-t', '-e', '0', '-f', 'qcow2', '-k', socket(), image];
  return spawn(process.execPath, [bundle, 'nbd', ...options], { stdio: 'inherit' });
}

function contentOf(image: string): Buffer {
  run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, scratch('content'));
  return readFileSync(scratch('content'));
}

function checkSound(image: string): void {
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', image], { encoding: 'utf8' });
  expect(soundStatuses, `${stdout}${stderr}`).toContain(status);
}

let server: ChildProcess;
// Of a test that has failed.
afterEach(() => void server.kill('SIGKILL'));

describe.skipIf(!haveQemu)('a server that is killed', () => {
  testSeeds({ first: firstSeed, count: kills, batch: 4 }, async (seed) => {
    const random = new Seeded(seed);
    const image = scratch('disk.qcow2');
    const isLazy = random.oneIn(2);
    const options = `cluster_size=${random.pick(['512', '4k', '64k', '2M'])},lazy_refcounts=${isLazy ? 'on' : 'off'}`;
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, image, String(blocks * blockBytes));
    const expected = new Expected();
    // The second life goes on where the first ended.
    for (let life = 0; life < 2; life++) {
      server = serve(image);
      const guests = [
        await Guest.start(random, expected, [0, blocks / 2]),
        await Guest.start(random, expected, [blocks / 2, blocks / 2]),
      ];
      await delay(random.below(120));
      const gone = once(server, 'exit');
      server.kill('SIGKILL');
      await gone;
      await vi.waitUntil(() => guests.every(({ isGone }) => isGone), { interval: 1 });
      // What refcounts say may be behind until then: that is what lazy means.
      if (isLazy) run('qemu-img', 'check', '-q', '-r', 'all', image);
      checkSound(image);
      expected.check(contentOf(image));
    }
  });
});

describe.skipIf(!haveQemu)('clients that die', () => {
  test('harm nobody, and what they were told is durable', { timeout: 120_000 }, async () => {
    const image = scratch('disk.qcow2');
    run('qemu-img', 'create', '-q', '-f', 'qcow2', image, String(blocks * blockBytes));
    server = serve(image);
    const random = new Seeded(firstSeed);
    const expected = new Expected();
    const staying = await Guest.start(random, expected, [blocks / 2, blocks / 2]);
    for (let count = 0; count < 10 * kills; count++) {
      // Blocks of its own: what it asked for last may be done after the next one has come.
      const dying = await Guest.start(random, expected, [(count * depth) % (blocks / 2), depth]);
      await delay(random.below(20));
      dying.leave();
      const before = staying.answers;
      await vi.waitUntil(() => staying.answers > before + 10, { interval: 1, timeout: 10_000 });
    }
    expect(staying.isGone).toBe(false);
    staying.leave();
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    run('qemu-img', 'check', '-q', image);
    expected.check(contentOf(image));
  });
});
