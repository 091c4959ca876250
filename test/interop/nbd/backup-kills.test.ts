/**
 * A storage daemon that is killed (SIGKILL) while guests write over NBD, a backup to a slow target runs, and the buffer for what
 * they overwrite has filled up and spilled. The image is sound and has all that a guest was told to be durable, the
 * target is sound and has nothing but the point in time, as far as it came, and of the spill file nothing is left.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, vi } from 'vitest';
import { sectorBytes } from '../../../host/base/sectors.ts';
import { bundle } from '../../support/cli.ts';
import { connectWhenListening } from '../../support/connect-when-listening.ts';
import { blockBytes, DurableBlocks, valueBytes, WritingClient } from '../../support/durable-writes.ts';
import { run } from '../../support/qemu.ts';
import { type Message, type QmpSession, startProgram } from '../../support/qmp-sessions.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';
import { kib } from '../../support/units.ts';

const kills = Number(process.env['BACKUP_KILLS'] ?? 2);
const firstSeed = Number(process.env['BACKUP_KILLS_SEED'] ?? 1);

const blocks = 4096;
/** What blocks hold at first: this and their number. */
const firstValue = 0x4000_0000;
const targetBytesPerSecond = 1e6;

const scratch = scratchDirectory();
const [image, target, socket, spills] = ['disk.qcow2', 'target.qcow2', 's', 'spills'].map(scratch) as [
  string,
  string,
  string,
  string,
];

let daemon: QmpSession | undefined;
// Of a test that has failed.
afterEach(() => daemon?.close());

function makeImage(): void {
  const content = Buffer.concat(
    Array.from({ length: blocks }, (_, block) => Buffer.alloc(blockBytes, valueBytes(firstValue + block))),
  );
  writeFileSync(scratch('first'), content);
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', scratch('first'), image);
}

function contentOf(file: string): Buffer {
  run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file, scratch('content'));
  return readFileSync(scratch('content'));
}

/** Damaged by nothing but leaks. */
function checkSound(file: string): void {
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', file], { encoding: 'utf8' });
  expect([0, 3], `${file}: ${stdout}${stderr}`).toContain(status);
}

/** Answers come in between events, which are dropped. */
async function execute<T>(session: QmpSession, command: string, args: object = {}): Promise<T> {
  session.send(JSON.stringify({ execute: command, arguments: args }));
  for (;;) {
    const message = JSON.parse(await session.next()) as Message;
    if (message.error || message['gone']) throw new Error(JSON.stringify(message));
    if ('return' in message) return message.return as T;
  }
}

async function startDaemon(): Promise<QmpSession> {
  const options = [
    ...['--blockdev', `qcow2,node-name=disk,file.driver=file,file.filename=${image}`],
    ...['--object', `throttle-group,id=slow,x-bps-write=${targetBytesPerSecond}`],
    ...['--blockdev', `file,node-name=file,filename=${target}`],
    ...['--blockdev', 'qcow2,node-name=target,file.driver=throttle,file.throttle-group=slow,file.file=file'],
    ...['--nbd-server', `addr.type=unix,addr.path=${socket}`],
    ...['--export', 'nbd,id=e,node-name=disk,writable=on'],
    ...['--chardev', 'stdio,id=monitor', '--monitor', 'monitor'],
  ];
  const session = startProgram(process.execPath, [bundle, 'storage-daemon', ...options], scratch('.'));
  await session.next();
  await execute(session, 'qmp_capabilities');
  return session;
}

interface Fill {
  'buffer-size': number;
  buffered: number;
  spilled: number;
}

async function fillOf(session: QmpSession): Promise<Fill> {
  const [job] = await execute<{ 'x-cbw': { fill: Fill } }[]>(session, 'query-block-jobs');
  return job!['x-cbw'].fill; // a backup runs
}

/** The target has sectors of the point in time and, where nothing has come or its tables have not been written, zeros. */
function checkPartial(found: Buffer, instant: Buffer): void {
  const nothing = Buffer.alloc(sectorBytes);
  for (let at = 0; at < instant.length; at += sectorBytes) {
    const sector = found.subarray(at, at + sectorBytes);
    const isRight = sector.equals(instant.subarray(at, at + sectorBytes)) || sector.equals(nothing);
    expect(isRight, `the target at ${at}`).toBe(true);
  }
}

describe.skipIf(!haveQemu)('a backup whose daemon is killed', () => {
  testSeeds({ first: firstSeed, count: kills, batch: 2 }, async (seed) => {
    const random = new Seeded(seed);
    makeImage();
    mkdirSync(spills, { recursive: true });
    const expected = new DurableBlocks((block) => firstValue + block);
    // The second life goes on where the first ended.
    for (let life = 0; life < 2; life++) {
      const instant = contentOf(image);
      run('qemu-img', 'create', '-q', '-f', 'qcow2', target, String(blocks * blockBytes));
      daemon = await startDaemon();
      const session = daemon;
      await execute(session, 'blockdev-backup', {
        ...{ 'job-id': 'j', device: 'disk', target: 'target', sync: 'full' },
        // Otherwise all of so small a disk would be in the background's memory at once.
        'x-perf': { 'max-workers': 1, 'max-chunk': 64 * kib },
        ...{ 'x-cbw-buffer': 64 * kib, 'x-cbw-spill': spills, 'x-cbw-spill-max': 256 * kib },
      });
      const clients: WritingClient[] = [];
      for (const first of [0, blocks / 2]) {
        const stream = await connectWhenListening(socket, () => {});
        clients.push(await WritingClient.start(stream, random, expected, [first, blocks / 2], 'disk'));
      }
      const isFull = random.oneIn(2);
      await vi.waitUntil(
        async () => {
          const { 'buffer-size': size, buffered, spilled } = await fillOf(session);
          return spilled > 0 && (!isFull || buffered >= size - blockBytes);
        },
        { interval: 1, timeout: 20_000 },
      );
      await delay(random.below(60));
      await session.close();
      await vi.waitUntil(() => clients.every(({ isGone }) => isGone), { interval: 1 });
      expect(readdirSync(spills)).toEqual([]);
      checkSound(image);
      expected.check(contentOf(image));
      checkSound(target);
      checkPartial(contentOf(target), instant);
    }
  });
});
