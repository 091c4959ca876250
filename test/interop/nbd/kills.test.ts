/**
 * An NBD server that is killed (SIGKILL) while clients write: whatever a client was told to be durable (by FUA, or by a FLUSH
 * that came after) is in the image, and QEMU finds no damage in it. A client that is killed leaves the server as it was for
 * the others, and its own durable writes where they are.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { bundle } from '../../support/cli.ts';
import { connectWhenListening } from '../../support/connect-when-listening.ts';
import { blockBytes, DurableBlocks, WritingClient } from '../../support/durable-writes.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';

const kills = Number(process.env['NBD_KILLS'] ?? 6);
const firstSeed = Number(process.env['NBD_KILLS_SEED'] ?? 1);

const blocks = 2048;
/** Blocks of a client that dies. */
const dyingBlocks = 8;
/** `qemu-img check`: nothing, or nothing but leaks. */
const soundStatuses = [0, 3];

const scratch = scratchDirectory();
const socket = (): string => scratch('s');

function serve(image: string): ChildProcess {
  rmSync(socket(), { force: true });
  const options = ['-t', '-e', '0', '-f', 'qcow2', '-k', socket(), image];
  return spawn(process.execPath, [bundle, 'nbd', ...options], { stdio: 'inherit' });
}

async function startClient(
  random: Seeded,
  expected: DurableBlocks,
  range: readonly [number, number],
): Promise<WritingClient> {
  const stream = await connectWhenListening(socket(), () => expect(server.exitCode).toBe(null));
  return WritingClient.start(stream, random, expected, range);
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
    const expected = new DurableBlocks();
    // The second life goes on where the first ended.
    for (let life = 0; life < 2; life++) {
      server = serve(image);
      const guests = [
        await startClient(random, expected, [0, blocks / 2]),
        await startClient(random, expected, [blocks / 2, blocks / 2]),
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
    const expected = new DurableBlocks();
    const staying = await startClient(random, expected, [blocks / 2, blocks / 2]);
    for (let count = 0; count < 10 * kills; count++) {
      // Blocks of its own: what it asked for last may be done after the next one has come.
      const dying = await startClient(random, expected, [(count * dyingBlocks) % (blocks / 2), dyingBlocks]);
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
