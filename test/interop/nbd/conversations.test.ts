/**
 * The same words of a client to QEMU's storage daemon and to ours: the same bytes in answer, but for what
 * `differences` explains.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bitmapsOf } from '../../../host/bitmaps/node-bitmaps.ts';
import type { BlockGraph } from '../../../host/block/graph.ts';
import { drivers } from '../../../host/drivers.ts';
import { closeExports, exportsOf } from '../../../host/exports/block-exports.ts';
import { createGraph } from '../../../host/graph.ts';
import {
  extendedReplyMagic,
  extendedRequestMagic,
  requestMagic,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../../../host/nbd/constants.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveQemu } from '../../support/tools.ts';
import { type Conversation, conversations } from './conversations.ts';

const scratch = scratchDirectory();

type Disk = Conversation['disk'];

const nothing = { driver: 'null-co', size: 1 << 20, 'read-zeroes': true };

/** The node `n` of each disk. */
const nodes: Readonly<Record<Disk, (image: string) => Record<string, unknown>>> = {
  readonly: (image) => ({ driver: 'qcow2', 'read-only': true, file: { driver: 'file', filename: image } }),
  writable: (image) => ({ driver: 'raw', file: { driver: 'file', filename: image } }),
  failing: () => ({
    driver: 'blkdebug',
    image: nothing,
    'inject-error': [
      { event: 'none', iotype: 'write', errno: 28 },
      { event: 'none', iotype: 'write-zeroes', errno: 95 },
      { event: 'none', iotype: 'discard', errno: 1 },
      { event: 'none', iotype: 'flush', errno: 5 },
      { event: 'none', iotype: 'read', errno: 12, sector: 0 },
    ],
  }),
  aligned: () => ({ driver: 'blkdebug', image: nothing, align: 4096, 'max-transfer': 65536 }),
};

const disks = Object.keys(nodes) as Disk[];

/** 64 KiB of data, a cluster of zeros, data that two bitmaps have recorded; or a file that ends within a sector. */
function makeImage(disk: Disk, path: string): void {
  if (disk === 'writable') writeFileSync(path, Buffer.alloc(1_000_000, 5));
  if (disk !== 'readonly') return;
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M');
  run('qemu-io', '-c', 'write -P 1 64k 64k', '-c', 'write -z 256k 64k', path);
  for (const name of ['b0', 'b1']) run('qemu-img', 'bitmap', '--add', path, name);
  run('qemu-io', '-c', 'write -P 1 512k 64k', path);
  for (const name of ['b0', 'b1']) run('qemu-img', 'bitmap', '--disable', path, name);
}

interface Server {
  readonly socket: string;
  stop(): Promise<void>;
}

async function startTheirs(disk: Disk): Promise<Server> {
  const [image, socket] = [scratch(`${disk}.theirs`), scratch(`${disk}.theirs.sock`)];
  makeImage(disk, image);
  const bitmaps = disk === 'readonly' ? { bitmaps: ['b0', 'b1'] } : {};
  const target = { type: 'nbd', id: 'e', 'node-name': 'n', name: 'exp', description: 'a disk', ...bitmaps };
  const options = { ...target, 'allocation-depth': true, writable: disk !== 'readonly' };
  const child: ChildProcess = spawn(
    'qemu-storage-daemon',
    [
      ['--blockdev', JSON.stringify({ 'node-name': 'n', ...nodes[disk](image) })],
      ['--nbd-server', JSON.stringify({ addr: { type: 'unix', path: socket } })],
      ['--export', JSON.stringify(options)],
    ].flat(),
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await vi.waitUntil(() => existsSync(socket), { timeout: 10_000, interval: 10 });
  return {
    socket,
    async stop() {
      if (child.kill()) await once(child, 'exit');
    },
  };
}

async function startOurs(disk: Disk): Promise<Server> {
  const [image, socket] = [scratch(`${disk}.ours`), scratch(`${disk}.ours.sock`)];
  makeImage(disk, image);
  const graph: BlockGraph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.open({ 'node-name': 'n', ...nodes[disk](image) });
  await exportsOf(graph).startServer(
    { type: 'unix', path: socket },
    { maxConnections: 100, handshakeMaxSeconds: 10 },
  );
  const bitmaps = disk === 'readonly' ? ['b0', 'b1'] : [];
  const writable = disk !== 'readonly';
  const told = { name: 'exp', description: 'a disk', allocationDepth: true, bitmaps };
  await exportsOf(graph).add({ id: 'e', node, writable, writethrough: false, ...told });
  return {
    socket,
    async stop() {
      await closeExports(graph);
      for (const { busy } of bitmapsOf(node)) expect(busy).toBe(false);
      await graph.unref(node);
    },
  };
}

/** What has been answered to each message: hexadecimal digits, and whether the connection is over. */
async function talk(
  path: string,
  says: readonly Uint8Array[],
  expected?: readonly string[],
): Promise<string[]> {
  const socket = connect(path);
  let received = Buffer.alloc(0);
  let isOver = false;
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    isOver = true;
  });
  const answers: string[] = [];
  for (const [index, message] of [undefined, ...says].entries()) {
    if (message && !isOver) socket.write(message);
    const isLast = index === says.length;
    await settled(socket, () => received.length, { expected: expected?.[index], patience: isLast ? 5 : 1 });
    answers.push(received.toString('hex') + (isOver ? ' end' : ''));
    received = Buffer.alloc(0);
  }
  socket.destroy();
  return answers;
}

/** Waits for an answer: for as much as is expected, or else until nothing more comes. */
async function settled(
  socket: Socket,
  count: () => number,
  { expected, patience }: { expected: string | undefined; patience: number },
): Promise<void> {
  if (expected !== undefined) {
    const isThere = (): boolean =>
      count() * 2 >= expected.replace(' end', '').length && (!expected.endsWith(' end') || socket.closed);
    await vi.waitUntil(isThere, { timeout: 5000, interval: 1 }).catch(() => {});
    return;
  }
  for (let quiet = 0, before = -1; quiet < 20 * patience && !socket.closed; quiet++) {
    if (count() !== before) quiet = 0;
    before = count();
    await delay(count() > 0 ? 1 : 5);
  }
}

/** Where requests and replies of every form have what tells them apart. */
const cookieOffset = 8;
const sharedCookie = 1n;

/** Requests that have not been answered when the next one comes may be answered in any order: each is to be known by its cookie. */
function withOwnCookie(message: Uint8Array, index: number): Uint8Array {
  const copy = Buffer.from(message);
  const isRequest = copy.length >= 28 && [requestMagic, extendedRequestMagic].includes(copy.readUInt32BE());
  if (!isRequest || copy.readBigUInt64BE(cookieOffset) !== sharedCookie) return message;
  copy.writeBigUInt64BE(sharedCookie + BigInt(index), cookieOffset);
  return copy;
}

/** Whether both are the same replies, and those of each request in the same order. */
function isReordered(one: readonly string[], other: readonly string[]): boolean {
  const [mine, theirs] = [one, other].map((answers) => {
    const hasEnded = answers.at(-1)?.endsWith(' end');
    const said = byCookie(Buffer.from(answers.join('').replaceAll(' end', ''), 'hex'));
    return said && `${said} ${hasEnded}`;
  });
  return mine !== undefined && mine === theirs;
}

/** Bytes of the reply at `at`. Undefined: it is none, or has data without saying how much. */
function replyBytes(said: Buffer, at: number): number | undefined {
  const left = said.length - at;
  const magic = left >= 16 ? said.readUInt32BE(at) : 0;
  if (magic === extendedReplyMagic && left >= 32) return 32 + Number(said.readBigUInt64BE(at + 24));
  if (magic === structuredReplyMagic && left >= 20) return 20 + said.readUInt32BE(at + 16);
  return magic === simpleReplyMagic ? 16 : undefined;
}

/** A conversation with its replies ordered by what they answer. Undefined: it has others than `replyBytes` knows. */
function byCookie(said: Buffer): string | undefined {
  const starts = [extendedReplyMagic, structuredReplyMagic, simpleReplyMagic]
    .map((magic) => said.indexOf(Buffer.from(magic.toString(16), 'hex')))
    .filter((start) => start >= 0);
  const start = Math.min(...starts, said.length);
  const replies = new Map<bigint, string>();
  for (let at = start; at < said.length; ) {
    const bytes = replyBytes(said, at);
    if (bytes === undefined) return undefined;
    const cookie = said.readBigUInt64BE(at + cookieOffset);
    replies.set(cookie, (replies.get(cookie) ?? '') + said.toString('hex', at, at + bytes));
    at += bytes;
  }
  const sorted = [...replies].sort(([a], [b]) => (a < b ? -1 : 1));
  return [said.toString('hex', 0, start), ...sorted.map(([, reply]) => reply)].join();
}

describe.skipIf(!haveQemu)('the same conversation with both servers', () => {
  const servers = new Map<Disk, { theirs: Server; ours: Server }>();
  beforeAll(async () => {
    for (const disk of disks)
      servers.set(disk, { theirs: await startTheirs(disk), ours: await startOurs(disk) });
  });
  afterAll(async () => {
    for (const { theirs, ours } of servers.values()) {
      await ours.stop();
      await theirs.stop();
    }
  });

  test.each(conversations)('$disk: $name', async ({ disk, says }) => {
    const { theirs, ours } = servers.get(disk)!; // there is one of each
    const told = says.map(withOwnCookie);
    const wanted = await talk(theirs.socket, told);
    const answered = await talk(ours.socket, told, wanted);
    // Which message a byte has come behind is chance where the machine is busy.
    const whole = (answers: readonly string[]): string =>
      `${answers.join('').replaceAll(' end', '')}${answers.at(-1)?.slice(-4)}`;
    if (whole(answered) === whole(wanted)) return;
    if (isReordered(answered, wanted)) return;
    const shown = (answers: readonly string[]): string[] =>
      answers.map((answer, at) => `${at}: ${answer.slice(0, 4000)}`);
    expect(shown(answered)).toEqual(shown(wanted));
    expect(whole(answered)).toEqual(whole(wanted));
  });
});
