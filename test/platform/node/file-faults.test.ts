/**
 * What goes wrong below a file, by each way to it: a file that gets shorter while it is read, a disk that is full, memory that
 * cannot be read, a limit on what a process may write, and an end that comes while requests are under way. Causes are real, but for
 * those of the unruly kernel (test/support/unruly-ring.ts), on which everything else is interrupted and cut short as well.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HostFile } from '../../../host/platform/platform.ts';
import { type BackEnd, backEnds, unrulyBackEnd } from '../../support/back-ends.ts';
import { bundle, runProgram } from '../../support/cli.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { mountSmall, unmount } from '../../support/small-file-system.ts';

const scratch = scratchDirectory();
const opened: HostFile[] = [];
let counter = 0;

/** With room for 2 MiB. */
const small = mountSmall();

const blockBytes = 4096;
const small4 = (value: number): Uint8Array => new Uint8Array(blockBytes).fill(value);
const large = (value: number): Uint8Array => new Uint8Array(1 << 20).fill(value);

function isAll(buffer: Uint8Array, value: number): boolean {
  return Buffer.alloc(buffer.length, value).equals(buffer);
}

async function open(backEnd: BackEnd, path: string, write = true): Promise<HostFile> {
  const file = await backEnd.open(path, { write });
  opened.push(file);
  return file;
}

/** One that has so many bytes of `value`. */
function makeFile(bytes: number, value: number): string {
  const path = scratch(`file-${counter++}`);
  fs.writeFileSync(path, new Uint8Array(bytes).fill(value));
  return path;
}

afterEach(async () => {
  for (const file of opened.splice(0)) await file.close();
});

afterAll(() => unmount(small));

describe.each(backEnds)('by $name', (backEnd) => {
  beforeEach((context) => backEnd.require(context));

  test('a file that somebody makes shorter reads as zeros behind its new end', async () => {
    const path = makeFile(4 << 20, 7);
    const file = await open(backEnd, path);
    fs.truncateSync(path, (1 << 20) + 1000);
    for (const buffer of [small4(1), large(1)]) {
      await file.read(1 << 20, buffer);
      expect([isAll(buffer.subarray(0, 1000), 7), isAll(buffer.subarray(1000), 0)]).toEqual([true, true]);
      await file.read(3 << 20, buffer.fill(1));
      expect(isAll(buffer, 0)).toBe(true);
    }
  });

  test('while it gets shorter, every byte that is read is what there was, or zero', async () => {
    const path = makeFile(4 << 20, 7);
    const file = await open(backEnd, path);
    const buffers = Array.from({ length: 32 }, (_, i) => (i % 2 ? small4(1) : large(1)));
    const reads = buffers.map((buffer, i) => file.read((i % 4) << 20, buffer));
    for (let end = 3; end >= 0; end--) {
      fs.truncateSync(path, (end << 20) + 100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(reads);
    for (const buffer of buffers) {
      expect(buffer.findIndex((value) => value !== 7 && value !== 0)).toBe(-1);
    }
  });

  // Devices take what is not aligned, and nothing past the page cache.
  if (backEnd.alignment === 1)
    test.skipIf(!fs.existsSync('/dev/full'))(
      'a full disk is told, of each request, and the next one may go well',
      async () => {
        const [full, path] = [await open(backEnd, '/dev/full'), makeFile(0, 0)];
        const file = await open(backEnd, path);
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) => [
            full.write(i * blockBytes, i % 2 ? small4(i) : large(i)),
            file.write(i * blockBytes, small4(i)),
          ]).flat(),
        );
        outcomes.forEach((outcome, i) => {
          if (i % 2 === 1) expect(outcome.status).toBe('fulfilled');
          else expect(outcome).toMatchObject({ reason: { name: 'BlockError', errno: 'ENOSPC' } });
        });
        expect(fs.statSync(path).size).toBe(20 * blockBytes);
      },
    );

  describe.skipIf(small === undefined)('a small file system, where file systems can be mounted', () => {
    test('fails what it has no room for, and takes it when there is room again', async () => {
      const file = await backEnd.open(`${small}/file`, { write: true, create: 'exclusive' });
      opened.push(file);
      const writes = [1, 2, 3, 4].map((value) => file.write((value - 1) << 20, large(value)));
      const outcomes = await Promise.allSettled(writes);
      const failed = outcomes.filter(({ status }) => status === 'rejected');
      expect(failed.length).toBeGreaterThan(0);
      for (const failure of failed) expect(failure).toMatchObject({ reason: { errno: 'ENOSPC' } });
      await expect(file.write(3 << 20, large(9))).rejects.toMatchObject({ errno: 'ENOSPC' });
      await file.truncate(0);
      await file.write(blockBytes, large(5));
      await file.flush();
      const content = fs.readFileSync(`${small}/file`);
      expect([content.length, content[0], content.at(-1)]).toEqual([blockBytes + (1 << 20), 0, 5]);
      fs.unlinkSync(`${small}/file`);
    });
  });

  if (backEnd.alignment === 1)
    test.skipIf(!fs.existsSync('/proc/self/mem'))(
      'what cannot be read is an error of its request',
      async () => {
        // Nothing is mapped at the start of any process.
        const [broken, path] = [await open(backEnd, '/proc/self/mem', false), makeFile(1 << 20, 3)];
        const file = await open(backEnd, path);
        const good = large(1);
        const outcomes = await Promise.allSettled([
          broken.read(0, small4(1)),
          file.read(0, good),
          broken.read(0, large(1)),
        ]);
        expect(outcomes).toMatchObject([
          { reason: { name: 'BlockError', errno: 'EIO' } },
          { status: 'fulfilled' },
          { reason: { name: 'BlockError', errno: 'EIO' } },
        ]);
        expect(isAll(good, 3)).toBe(true);
      },
    );

  test('a file is closed when what is under way is over, whatever that is', async () => {
    const path = makeFile(8 << 20, 7);
    const file = await open(backEnd, path);
    const buffers = Array.from({ length: 16 }, (_, i) => (i % 2 ? small4(1) : large(1)));
    const requests = buffers.flatMap((buffer, i) => [
      file.read((i % 4) << 20, buffer),
      file.write((4 << 20) + i * blockBytes, small4(i)),
      ...(i % 4 === 0 ? [file.flush()] : []),
    ]);
    await opened.pop()!.close();
    await Promise.all(requests);
    for (const buffer of buffers) expect(isAll(buffer, 7)).toBe(true);
    const content = fs.readFileSync(path);
    for (let i = 0; i < 16; i++) expect(content[(4 << 20) + i * blockBytes]).toBe(i);
    const late = await Promise.allSettled([file.read(0, large(1)), file.write(0, large(1))]);
    expect(late.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});

describe('an unruly kernel', () => {
  test('fails requests one by one, and those alone', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const backEnd = unrulyBackEnd(seed);
      const path = makeFile(0, 0);
      const file = await open(backEnd, path);
      const times = 1 + (seed % 5);
      const heal = backEnd.fail({ errno: seed % 2 ? 'EIO' : 'ENOSPC', after: seed % 7, times });
      const writes = Array.from({ length: 40 }, (_, i) => file.write(i * blockBytes, small4(i + 1)));
      const outcomes = await Promise.allSettled(writes);
      heal();
      const failed = outcomes.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []));
      expect(failed.length, `seed ${seed}`).toBe(times);
      await Promise.all(failed.map((i) => file.write(i * blockBytes, small4(i + 1))));
      const content = fs.readFileSync(path);
      for (let i = 0; i < 40; i++) expect(content[i * blockBytes], `seed ${seed}`).toBe(i + 1);
    }
  });
});

const havePrlimit = spawnSync('prlimit', ['--version']).status === 0;

describe.skipIf(!havePrlimit)('a limit on the size of files', () => {
  test.each(['', 'threads', 'io_uring'])('is told with BLOCKYARD_AIO=%s', async (way) => {
    const path = makeFile(4 << 20, 7);
    const commands = [
      'write -P 1 512k 1M',
      'write -P 2 0 512k',
      'read -q -P 2 0 512k',
      'read -q -P 1 512k 512k',
    ];
    const { status, stdout } = await runProgram(
      'prlimit',
      [
        `--fsize=${1 << 20}`,
        ...['env', `BLOCKYARD_AIO=${way}`, process.execPath, bundle, 'io', '-f', 'raw'],
        ...commands.flatMap((command) => ['-c', command]),
        path,
      ],
      scratch('.'),
    );
    expect(stdout).toMatch(/^write failed: File too large\nwrote 524288\/524288 bytes at offset 0\n.*\n$/);
    expect(status).toBe(1);
  });

  test('another way than there is is refused', async () => {
    const program = ['BLOCKYARD_AIO=quick', process.execPath, bundle, 'img', 'info', makeFile(512, 0)];
    const { status, stderr } = await runProgram('env', program, scratch('.'));
    expect(stderr).toContain("BLOCKYARD_AIO is threads or io_uring, and not 'quick'");
    expect(status).toBe(1);
  });
});
