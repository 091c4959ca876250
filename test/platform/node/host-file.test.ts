import * as fs from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { files } from '../../../host/platform/node/files.ts';
import { libc } from '../../../host/platform/node/libc.ts';
import type { HostFile } from '../../../host/platform/platform.ts';
import { type BackEnd, backEnds } from '../../support/back-ends.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const scratch = scratchDirectory();
const opened: HostFile[] = [];
let counter = 0;

let backEnd: Pick<BackEnd, 'open'> = files;

async function newFile(): Promise<{ file: HostFile; path: string }> {
  const path = scratch(`file-${counter++}`);
  const file = await backEnd.open(path, { write: true, create: 'exclusive' });
  opened.push(file);
  return { file, path };
}

afterEach(async () => {
  for (const file of opened.splice(0)) await file.close();
});

/** Small offsets with requests on both sides of what is made in place. */
const range = fc.record({
  offset: fc.nat(300_000),
  bytes: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 200_000, max: 600_000 })),
});
const step = fc.oneof(
  fc.record({ type: fc.constant('write' as const), range, value: fc.nat(255) }),
  fc.record({ type: fc.constant('read' as const), range }),
  fc.record({ type: fc.constant('zero' as const), range, unmap: fc.boolean() }),
  fc.record({ type: fc.constant('discard' as const), range }),
  fc.record({ type: fc.constant('allocate' as const), range }),
  fc.record({ type: fc.constant('truncate' as const), size: fc.nat(900_000) }),
  fc.record({ type: fc.constant('flush' as const) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What a file is supposed to be. */
class Model {
  bytes = new Uint8Array();

  grow(size: number): void {
    if (size > this.bytes.length) this.resize(size);
  }

  resize(size: number): void {
    const resized = new Uint8Array(size);
    resized.set(this.bytes.subarray(0, size));
    this.bytes = resized;
  }

  fill(value: number, offset: number, bytes: number): void {
    this.bytes.fill(value, offset, offset + bytes);
  }
}

/** Multiples of what the back end needs. */
function alignedRange({ offset, bytes }: { offset: number; bytes: number }, alignment: number) {
  const round = (value: number): number => Math.ceil(value / alignment) * alignment;
  return { offset: round(offset), bytes: round(bytes) };
}

describe.each(backEnds)('a file, by $name', ({ way, alignment, ...here }) => {
  beforeEach((context) => {
    here.require(context);
    backEnd = here;
  });
  afterEach(() => {
    backEnd = files;
  });

  if (way !== undefined)
    test('says by which way its requests go', async () => {
      const told: string[] = [];
      const { path } = await newFile();
      const file = await here.open(path, { write: true, chosen: (chosen) => void told.push(chosen) });
      opened.push(file);
      await file.write(0, new Uint8Array(1 << 20));
      await file.flush();
      expect(told).toEqual([way]);
    });

  test('is closed when the requests that are under way are over', async () => {
    const { file, path } = await newFile();
    const writes = Array.from({ length: 8 }, (_, i) =>
      file.write(i << 20, new Uint8Array(1 << 20).fill(i + 1)),
    );
    await opened.pop()!.close();
    await Promise.all(writes);
    expect(fs.statSync(path).size).toBe(8 << 20);
  });

  test('takes more requests at once than a ring has entries', async () => {
    const { file, path } = await newFile();
    const bytes = new Uint8Array(4 << 20).map((_, i) => (i >> 12) * 37);
    const parts = Array.from({ length: 1024 }, (_, i) => bytes.subarray(i * 4096, (i + 1) * 4096));
    await Promise.all(parts.map((part, i) => file.write(i * 4096, part)));
    expect(Buffer.compare(fs.readFileSync(path), bytes)).toBe(0);
    const back = parts.map(() => new Uint8Array(4096));
    await Promise.all(back.map((part, i) => file.read(i * 4096, part)));
    expect(Buffer.compare(Buffer.concat(back), bytes)).toBe(0);
  });

  test('is an array of bytes that grows with writes and reads as zeros past its end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const { file, path } = await newFile();
        const model = new Model();
        for (const operation of steps) await apply(file, model, alignment, operation);
        expect(await file.getSize()).toBe(model.bytes.length);
        expect(Buffer.compare(fs.readFileSync(path), model.bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('takes overlapping requests to different places at once', async () => {
    const { file } = await newFile();
    const large = 98 * 4096;
    const parts = Array.from({ length: 40 }, (_, i) => new Uint8Array(i % 2 ? 4096 : large).fill(i + 1));
    await Promise.all(parts.map((part, i) => file.write(i * large, part)));
    const back = parts.map((part) => new Uint8Array(part.length));
    await Promise.all(back.map((part, i) => file.read(i * large, part)));
    expect(back.map((part, i) => Buffer.compare(part, parts[i]!))).toEqual(parts.map(() => 0));
  });

  test('takes many buffers at once, more than the system takes in a call', async () => {
    const { file, path } = await newFile();
    const sizes = alignment === 1 ? 700 : 3;
    const buffers = Array.from({ length: 1500 }, (_, i) => new Uint8Array((i % sizes) * alignment).fill(i));
    await file.writeAll!(8192, buffers);
    expect(Buffer.compare(fs.readFileSync(path).subarray(8192), Buffer.concat(buffers))).toBe(0);
    const reader = await here.open(path, { write: false });
    opened.push(reader);
    await expect(reader.writeAll!(0, buffers)).rejects.toMatchObject({ errno: 'EBADF' });
  });

  test('knows where its holes are', async () => {
    const { file } = await newFile();
    await file.truncate(3 << 20);
    await file.write(1 << 20, new Uint8Array(1 << 20).fill(1));
    const found: string[] = [];
    for (let at = 0; at < 3 << 20; ) {
      const extent = await file.extent(at);
      found.push(`${extent.type} ${extent.bytes}`);
      at += extent.bytes;
    }
    // The first block is there, to be asked about its alignment.
    const holes = ['data 4096', 'hole 1044480', 'data 1048576', 'hole 1048576'];
    const all = libc() ? holes : ['data 3145728'];
    expect(found).toEqual(all);
  });

  test.skipIf(!libc())('gives space back and reserves it', async () => {
    const { file } = await newFile();
    await file.write(0, new Uint8Array(1 << 20).fill(1));
    await file.flush();
    expect(await file.discard(0, 1 << 20)).toBe(true);
    expect((await file.status()).allocatedBytes).toBe(0);
    expect(await file.allocate(0, 8 << 20)).toBe(true);
    expect((await file.status()).allocatedBytes).toBe(8 << 20);
    expect(await file.getSize()).toBe(8 << 20);
  });

  test('refuses writes when it was opened for reading', async () => {
    const { path } = await newFile();
    const file = await here.open(path, { write: false });
    opened.push(file);
    await expect(file.write(0, new Uint8Array(4096))).rejects.toMatchObject({ errno: 'EBADF' });
    await expect(file.write(0, new Uint8Array(1 << 20))).rejects.toMatchObject({ errno: 'EBADF' });
  });
});

test('a closed file is not mistaken for the next one', async () => {
  const { file } = await newFile();
  await opened.pop()!.close();
  const { path } = await newFile();
  await expect(file.write(0, new Uint8Array(1))).rejects.toThrow();
  expect(fs.statSync(path).size).toBe(0);
});

async function apply(file: HostFile, model: Model, alignment: number, operation: Step): Promise<void> {
  switch (operation.type) {
    case 'truncate':
      await file.truncate(operation.size);
      model.resize(operation.size);
      return;
    case 'flush':
      return file.flush();
    default:
  }
  const { offset, bytes } = alignedRange(operation.range, alignment);
  switch (operation.type) {
    case 'write':
      await file.write(offset, new Uint8Array(bytes).fill(operation.value));
      model.grow(offset + bytes);
      model.fill(operation.value, offset, bytes);
      return;
    case 'read': {
      const buffer = new Uint8Array(bytes).fill(0xee);
      await file.read(offset, buffer);
      const expected = new Uint8Array(bytes);
      expected.set(model.bytes.subarray(offset, offset + bytes));
      expect(Buffer.compare(buffer, expected)).toBe(0);
      return;
    }
    case 'zero':
      if (await file.zero(offset, bytes, { unmap: operation.unmap })) {
        if (!operation.unmap) model.grow(offset + bytes);
        model.fill(0, offset, bytes);
      }
      return;
    case 'discard':
      if (await file.discard(offset, bytes)) model.fill(0, offset, bytes);
      return;
    case 'allocate':
      if (await file.allocate(offset, bytes)) model.grow(offset + bytes);
  }
}

describe.skipIf(!libc())('direct access', () => {
  test('works with buffers wherever they are in memory', async () => {
    const { path } = await newFile();
    fs.writeFileSync(path, new Uint8Array(4 << 20));
    const file = await files.open(path, { write: true, direct: true });
    opened.push(file);
    expect([512, 4096]).toContain(file.requestAlignment);
    const memory = new Uint8Array((3 << 20) + 1);
    const data = memory.subarray(1);
    for (let i = 0; i < data.length; i++) data[i] = (i * 7) >> 3;
    await file.write(4096, data);
    const back = new Uint8Array(data.length + 4096);
    await file.read(4096, back);
    expect(Buffer.compare(back.subarray(0, data.length), data)).toBe(0);
    await file.read(4 << 20, back.fill(1));
    expect(back.every((value) => value === 0)).toBe(true);
  });
});

test.skipIf(!libc())('what the page cache has can be read without waiting for a disk', async () => {
  const { file, path } = await newFile();
  const data = new Uint8Array(4096).map((_, i) => i * 7);
  await file.write(0, data);
  const fd = fs.openSync(path, 'r');
  const back = new Uint8Array(8192);
  const bytes = libc()!.preadCached(fd, back, 0); // skipped without
  fs.closeSync(fd);
  // Not every file system knows how.
  expect([-1, 4096]).toContain(bytes);
  if (bytes > 0) expect(Buffer.compare(back.subarray(0, 4096), data)).toBe(0);
  expect(libc()!.preadCached(-1, back, 0)).toBe(-1); // as above
});

describe('opening', () => {
  test.each([
    ['nothing there', scratch('absent'), { write: false }, 'ENOENT'],
    ['a directory', scratch('.'), { write: true }, 'EISDIR'],
    ['a directory to read', scratch('.'), { write: false }, 'EISDIR'],
    ['a name with a NUL', 'a\0b', { write: false }, 'EINVAL'],
    ['a name that is too long', 'x'.repeat(300), { write: false }, 'ENAMETOOLONG'],
  ] as const)('%s fails', async (_what, path, options, errno) => {
    await expect(files.open(path, options)).rejects.toMatchObject({ name: 'BlockError', errno });
  });

  test('makes, keeps or empties what is there, as asked', async () => {
    const path = scratch('made');
    const write = async (create: 'exclusive' | 'truncate' | 'if-absent'): Promise<number> => {
      const file = await files.open(path, { write: true, create });
      const size = await file.getSize();
      await file.write(0, Uint8Array.of(1));
      await file.close();
      return size;
    };
    expect(await write('exclusive')).toBe(0);
    await expect(write('exclusive')).rejects.toMatchObject({ errno: 'EEXIST' });
    expect(await write('if-absent')).toBe(1);
    expect(await write('truncate')).toBe(0);
    expect(await files.stat(path)).toMatchObject({ type: 'file', size: 1 });
    await files.unlink(path);
    await expect(files.stat(path)).rejects.toMatchObject({ errno: 'ENOENT' });
  });

  test('tells one file by whatever path leads to it', async () => {
    const { path } = await newFile();
    fs.symlinkSync(path, scratch('link'));
    expect(await files.identify(scratch('link'))).toBe(await files.identify(path));
    const { path: other } = await newFile();
    expect(await files.identify(other)).not.toBe(await files.identify(path));
  });
});

describe.skipIf(!libc())('byte locks', () => {
  test('belong to the open file and are seen by every other one', async () => {
    const { file: a, path } = await newFile();
    const b = await files.open(path, { write: false });
    a.locks!.lockShared(100);
    expect([a.locks!.isHeldByOther(100), b.locks!.isHeldByOther(100)]).toEqual([false, true]);
    expect(b.locks!.isHeldByOther(101)).toBe(false);
    b.locks!.lockShared(100);
    expect(a.locks!.isHeldByOther(100)).toBe(true);
    await b.close();
    expect(a.locks!.isHeldByOther(100)).toBe(false);
    a.locks!.unlock(100);
  });
});
