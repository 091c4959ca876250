/**
 * What a command leaves alone: bytes outside of a window, the rest of a target, the length of a file, everything when it
 * fails. Each is an example from use; test/interop/differential finds others, with the real tools beside.
 */
import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { runOwn } from '../support/own-tools.ts';
import { ioCommands } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
let files = 0;

/** A new file of `bytes` bytes, all of them `fill`. */
function raw(bytes: number, fill = 0): string {
  const path = scratch(`${files++}.raw`);
  fs.writeFileSync(path, Buffer.alloc(bytes, fill));
  return path;
}

async function io(args: string[], ...commands: string[]): Promise<{ status: number | null; text: string }> {
  const all = ioCommands(...commands);
  const { status, stdout, stderr } = await runOwn('qemu-io', [...args, ...all]);
  return { status, text: stdout + stderr };
}

async function img(...args: string[]): Promise<void> {
  expect(await runOwn('qemu-img', args)).toMatchObject({ status: 0, stderr: '' });
}

async function qcow2(bytes: number, fill: string | undefined, ...options: string[]): Promise<string> {
  const path = scratch(`${files++}.qcow2`);
  await img('create', '-q', '-f', 'qcow2', ...options, path, String(bytes));
  if (fill !== undefined) expect(await io(['-f', 'qcow2', path], fill)).toMatchObject({ status: 0 });
  return path;
}

/** The disk as runs of equal bytes: `[byte, count]`. */
async function runs(path: string, format = 'raw'): Promise<[number, number][]> {
  let content = fs.readFileSync(path);
  if (format !== 'raw') {
    const copy = scratch(`${files++}.copy`);
    await img('convert', '-f', format, '-O', 'raw', path, copy);
    content = fs.readFileSync(copy);
  }
  const found: [number, number][] = [];
  for (const byte of content) {
    const last = found.at(-1);
    if (last?.[0] === byte) last[1]++;
    else found.push([byte, 1]);
  }
  return found;
}

describe('a window of a raw file', () => {
  test.each([
    ['text', '"512"', '"1024"'],
    ['numbers', '512', '1024'],
    ['suffixes', '"0.5k"', '"1K"'],
    ['hexadecimal', '"0x200"', '"0x400"'],
  ])('is where its options say, as %s', async (_, offset, size) => {
    const path = raw(8192);
    const name = `json:{"driver":"raw","offset":${offset},"size":${size},"file":{"driver":"file","filename":"${path}"}}`;
    expect(await io([name], 'length', 'write -q -P 7 0 512')).toEqual({ status: 0, text: '1 KiB\n' });
    expect(await runs(path)).toEqual([
      [0, 512],
      [7, 512],
      [0, 7168],
    ]);
    expect(await io([name], 'discard -q 0 512')).toEqual({ status: 0, text: '' });
    expect(await runs(path)).toEqual([[0, 8192]]);
  });

  test.each([
    [1, '1 KiB'],
    [511, '1 KiB'],
    [512, '512 bytes'],
    [1000, '512 bytes'],
    [1024, '0 bytes'],
  ])('from byte %i of 1000 is as long as whole sectors of the file allow', async (offset, length) => {
    const options = `driver=raw,offset=${offset},file.driver=file,file.filename=${raw(1000)}`;
    expect(await io(['--image-opts', options], 'length')).toEqual({ status: 0, text: `${length}\n` });
  });

  test('is not left by a write past the page cache', async () => {
    const path = raw(1000, 9);
    const options = `driver=raw,offset=0,size=512,file.driver=file,file.filename=${path}`;
    expect(await io(['--image-opts', '-t', 'none', options], 'write -q -P 5 0 512')).toMatchObject({
      status: 0,
    });
    expect(await runs(path)).toEqual([
      [5, 512],
      [9, 488],
    ]);
  });
});

describe('convert -n', () => {
  test('leaves alone what lies behind the source', async () => {
    const source = raw(65_536, 1);
    const target = raw(131_072, 9);
    await img('convert', '-n', '-f', 'raw', '-O', 'raw', source, target);
    expect(await runs(target)).toEqual([
      [1, 65_536],
      [9, 65_536],
    ]);
    const image = await qcow2(131_072, 'write -q -P 9 0 128k');
    await img('convert', '-n', '-f', 'raw', '-O', 'qcow2', source, image);
    expect(await runs(image, 'qcow2')).toEqual([
      [1, 65_536],
      [9, 65_536],
    ]);
    const window = raw(196_608, 9);
    const options = `driver=raw,offset=16384,size=131072,file.driver=file,file.filename=${window}`;
    await img('convert', '-n', '--target-image-opts', '-f', 'raw', source, options);
    expect(await runs(window)).toEqual([
      [9, 16_384],
      [1, 65_536],
      [9, 114_688],
    ]);
  });

  test('writes the zeros of the source over what the target has', async () => {
    const source = raw(65_536);
    const target = raw(65_536, 9);
    await img('convert', '-n', '-f', 'raw', '-O', 'raw', source, target);
    expect(await runs(target)).toEqual([[0, 65_536]]);
    const other = raw(65_536, 9);
    await img('convert', '-n', '--target-is-zero', '-f', 'raw', '-O', 'raw', source, other);
    expect(await runs(other)).toEqual([[9, 65_536]]);
  });

  test('leaves nothing stale behind the end of a backing file', async () => {
    const base = raw(16_384, 7);
    const source = raw(65_536);
    const target = await qcow2(98_304, 'write -q -P 9 0 96k', '-b', base, '-F', 'raw');
    await img('convert', '-n', '-f', 'raw', '-O', 'qcow2', '-B', base, '-F', 'raw', source, target);
    expect(await runs(target, 'qcow2')).toEqual([
      [0, 65_536],
      [9, 32_768],
    ]);
    const overlay = await qcow2(65_536, undefined, '-b', base, '-F', 'raw', '-o', 'cluster_size=4k');
    await img('convert', '-n', '-f', 'qcow2', '-O', 'qcow2', '-B', base, '-F', 'raw', overlay, target);
    // What the overlay does not hold is the backing file's, and so left alone; behind that there is nothing.
    const again = await qcow2(98_304, 'write -q -P 9 16k 80k', '-b', base, '-F', 'raw');
    await img('convert', '-n', '-f', 'qcow2', '-O', 'qcow2', '-B', base, '-F', 'raw', overlay, again);
    expect(await runs(again, 'qcow2')).toEqual([
      [7, 16_384],
      [0, 49_152],
      [9, 32_768],
    ]);
  });

  test('does not make a raw file of odd length longer by zeros', async () => {
    const target = raw(1000, 9);
    await img('convert', '-n', '-f', 'raw', '-O', 'raw', raw(1000), target);
    expect(await runs(target)).toEqual([[0, 1000]]);
  });

  test('refuses to write an image into itself', async () => {
    const path = raw(4096, 9);
    const outcome = await runOwn('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', path, path]);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('Failed to get "write" lock');
  });
});

describe('zeros', () => {
  test.each([
    ['from within a cluster', 1000, 150_000],
    ['to within a cluster', 0, 150_000],
    ['in the middle of one', 70_000, 10],
  ])('that must not be data change nothing when they have to be: %s', async (_, offset, bytes) => {
    const path = await qcow2(1 << 20, 'write -q -P 9 0 1M');
    const { status, text } = await io(['-f', 'qcow2', path], `write -z -n ${offset} ${bytes}`);
    expect([status, text]).toEqual([1, 'write failed: Operation not supported\n']);
    expect(await runs(path, 'qcow2')).toEqual([[9, 1 << 20]]);
  });

  test('in a cluster with nothing but zeros around them are no data', async () => {
    const path = await qcow2(1 << 20, 'write -q -P 9 128k 64k');
    const before = fs.statSync(path).size;
    expect(await io(['-f', 'qcow2', path], 'write -q -z -n 1000 100000')).toEqual({ status: 0, text: '' });
    expect(fs.statSync(path).size).toBe(before);
    expect(await runs(path, 'qcow2')).toEqual([
      [0, 131_072],
      [9, 65_536],
      [0, 851_968],
    ]);
  });

  test('do not hide what a backing file has around them', async () => {
    const base = raw(65_536, 7);
    const path = await qcow2(65_536, undefined, '-b', base, '-F', 'raw');
    expect(await io(['-f', 'qcow2', path], 'write -q -z 1000 3000')).toEqual({ status: 0, text: '' });
    expect(await runs(path, 'qcow2')).toEqual([
      [7, 1000],
      [0, 3000],
      [7, 61_536],
    ]);
  });

  test.each(['write -q -z -u 0 1024', 'write -q -z -u 500 524'])(
    'that may be unmapped do not make a file longer: %s',
    async (command) => {
      const path = raw(1000, 9);
      expect(await io(['-f', 'raw', path], command)).toEqual({ status: 0, text: '' });
      expect(fs.statSync(path).size).toBe(1000);
    },
  );
});

test.each([
  ['write -q -P 5 0 512', 1000],
  ['write -q -P 5 100 10', 1000],
  ['write -q -P 5 512 512', 1024],
])('%s past the page cache leaves a file of 1000 bytes %i bytes long', async (command, bytes) => {
  const path = raw(1000, 9);
  expect(await io(['-f', 'raw', '-t', 'none', path], command)).toEqual({ status: 0, text: '' });
  expect(fs.statSync(path).size).toBe(bytes);
});

test.each(['metadata', 'falloc', 'full'])(
  'growing with preallocation=%s keeps what the last cluster has from its backing file',
  async (mode) => {
    const path = await qcow2(1024, undefined, '-b', raw(1024, 7), '-F', 'raw');
    await img('resize', '-q', `--preallocation=${mode}`, '-f', 'qcow2', path, '+200k');
    expect(await runs(path, 'qcow2')).toEqual([
      [7, 1024],
      [0, 204_800],
    ]);
    await img('check', '-q', path);
  },
);

test('options that an image cannot have do not empty the file that is there', async () => {
  const path = raw(4096, 9);
  for (const options of ['cluster_size=3', 'compat=7', 'refcount_bits=3', 'compat=0.10,lazy_refcounts=on']) {
    const { status } = await runOwn('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path, '1M']);
    expect([options, status]).toEqual([options, 1]);
  }
  expect(await runs(path)).toEqual([[9, 4096]]);
});

describe('what an image names as its backing file', () => {
  test.each([
    [
      'a quorum that rewrites',
      (victim: string, zeros: string) => ({
        driver: 'quorum',
        'read-only': false,
        'vote-threshold': 2,
        'rewrite-corrupted': true,
        children: [victim, zeros, zeros].map((filename) => ({
          driver: 'raw',
          'read-only': false,
          file: { driver: 'file', filename, 'read-only': false, locking: 'off' },
        })),
      }),
    ],
    [
      'the same by dotted names',
      (victim: string, zeros: string) => ({
        driver: 'quorum',
        'read-only': 'off',
        'vote-threshold': 2,
        'rewrite-corrupted': 'on',
        ...Object.assign(
          {},
          ...[victim, zeros, zeros].map((filename, index) => ({
            [`children.${index}.driver`]: 'file',
            [`children.${index}.filename`]: filename,
            [`children.${index}.read-only`]: 'off',
            [`children.${index}.locking`]: 'off',
          })),
        ),
      }),
    ],
  ])('is only read: %s', async (_, options) => {
    const victim = raw(4096, 9);
    const name = `json:${JSON.stringify(options(victim, raw(4096)))}`;
    const image = await qcow2(4096, undefined, '-u', '-b', name, '-F', 'quorum');
    for (const how of [['-r'], []]) await io([...how, '-f', 'qcow2', image], 'read 0 4096', 'write 0 512');
    expect(await runs(victim)).toEqual([[9, 4096]]);
  });
});
