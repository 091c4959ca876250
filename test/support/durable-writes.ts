/**
 * NBD clients that write to an image whose server may be killed at any moment, and what the image must hold then: whatever
 * they were told to be durable, by FUA or by a FLUSH that came after.
 */
import type * as net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import { sectorBytes } from '../../host/base/sectors.ts';
import { Command, CommandFlag, Option } from '../../host/nbd/constants.ts';
import { hello, infoFor, option, request } from './nbd-messages.ts';
import type { Seeded } from './seeded.ts';

export const blockBytes = 4096;
const depth = 8;
/** Of a simple reply: its magic, an error, the cookie. */
const replyBytes = 16;

/** What blocks hold at least: a value that is durable, or one of those that were written after it. */
export class DurableBlocks {
  private readonly written = new Map<number, number[]>();

  /** `first`: what a block holds that nobody has written to. */
  constructor(private readonly first: (block: number) => number = () => 0) {}

  write(block: number, value: number): void {
    const values = this.written.get(block) ?? [this.first(block)];
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

/** Four bytes that a block is filled with. */
export function valueBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Writes to random blocks, `depth` at a time and one at a time to each, with FUA now and then, or flushes. */
export class WritingClient {
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
    private readonly expected: DurableBlocks,
    /** Blocks from here on, so many. */
    private readonly range: readonly [number, number],
  ) {}

  /** Of the export `name`, which may be empty. */
  static async start(
    stream: net.Socket,
    random: Seeded,
    expected: DurableBlocks,
    range: readonly [number, number],
    name = '',
  ): Promise<WritingClient> {
    const client = new WritingClient(stream, random, expected, range);
    stream.write(Buffer.concat([hello(), option(Option.go, infoFor(name))]));
    await vi.waitUntil(() => stream.readableLength > 100, { interval: 1, timeout: 10_000 });
    // All of the negotiation has come: nothing follows before a request.
    await delay(5);
    stream.read();
    stream.on('data', (bytes: Buffer) => client.receive(bytes));
    stream.on('error', () => {});
    stream.on('close', () => void (client.isGone = true));
    for (let i = 0; i < depth; i++) client.next();
    return client;
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
