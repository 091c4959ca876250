import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import { Perm } from '../../host/block/permissions.ts';
import { maxRequestBytes } from '../../host/block/request.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { nullCo } from '../../host/protocols/null.ts';
import { type ArrayDisk, arrayGraph } from '../support/array-driver.ts';
import { attach } from '../support/attach.ts';

let disks: ArrayDisk[];
let graph: BlockGraph;

beforeEach(() => {
  ({ graph, disks } = arrayGraph());
});

async function open(options: Record<string, unknown> = {}): Promise<BlockBackend> {
  const node = await graph.open({ driver: 'array', ...options });
  return attach(node);
}

describe('ranges', () => {
  test('past the end of a root node are refused', async () => {
    const backend = await open({ size: 4096 });
    await expect(backend.read(4095, new Uint8Array(2))).rejects.toMatchObject({ errno: 'EIO' });
    await expect(backend.write(-1, new Uint8Array(1))).rejects.toMatchObject({ errno: 'EIO' });
    await expect(backend.read(Number.NaN, new Uint8Array(1))).rejects.toMatchObject({ errno: 'EIO' });
    await backend.read(4096, new Uint8Array(0));
  });

  test('of data longer than one request may be are refused, those of zeros are not', async () => {
    const large = new BlockGraph({ platform: createSimulation(1).platform, drivers: [nullCo] });
    const node = await large.open({ driver: 'null-co', size: 2 ** 33 });
    const spec = { name: 'root', description: 'a test', perm: Perm.write, shared: Perm.all };
    const backend = await BlockBackend.attach(node, spec);
    // A view that claims a length without the memory behind it: the check comes before any byte is looked at.
    const ofLength = (length: number): Uint8Array =>
      Object.defineProperty(new Uint8Array(0), 'length', { value: length });
    const tooLong = ofLength(maxRequestBytes + 1);
    await expect(backend.read(0, tooLong)).rejects.toMatchObject({ errno: 'EIO' });
    await expect(backend.write(0, tooLong)).rejects.toMatchObject({ errno: 'EIO' });
    await backend.read(0, ofLength(maxRequestBytes));
    await backend.write(0, ofLength(maxRequestBytes));
    await backend.writeZeroes(0, 2 ** 33);
    await backend.close();
  });

  test('between the exact end and the next sector read as zeros', async () => {
    const backend = await open({ size: 1000 });
    expect(backend.length).toBe(1024);
    const buffer = new Uint8Array(64).fill(1);
    await backend.read(960, buffer);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });
});

describe('what a driver lacks', () => {
  test('is emulated: requests not on its alignment give the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(512, 4096),
        fc.array(
          fc.record({ offset: fc.nat(16000), bytes: fc.nat(5000), value: fc.integer({ min: 1, max: 255 }) }),
          {
            maxLength: 12,
          },
        ),
        async (requestAlignment, writes) => {
          const backend = await open({ size: 24576 });
          disks.at(-1)!.limits = { requestAlignment };
          const model = new Uint8Array(24576);
          // All at once: overlapping read-modify-writes must not lose each other's bytes.
          const done = writes.map(({ offset, bytes, value }) => {
            model.fill(value, offset, offset + bytes);
            return backend.write(offset, new Uint8Array(bytes).fill(value));
          });
          await Promise.all(done);
          const read = new Uint8Array(model.length);
          await backend.read(0, read);
          expect(Buffer.from(read).equals(Buffer.from(model))).toBe(true);
          await backend.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  test('writes zeros where there is no write-zeroes, unless told not to', async () => {
    const backend = await open();
    await backend.write(0, new Uint8Array(8192).fill(9));
    await backend.writeZeroes(100, 5000);
    const read = new Uint8Array(8192);
    await backend.read(0, read);
    expect(read.indexOf(0)).toBe(100);
    expect(read.lastIndexOf(0)).toBe(5099);
    await expect(backend.writeZeroes(0, 512, { noFallback: true })).rejects.toMatchObject({
      errno: 'ENOTSUP',
    });
  });

  test('flushes after a write that must be durable', async () => {
    const backend = await open();
    await backend.write(0, new Uint8Array(512).fill(1), { fua: true });
    expect(disks[0]!.log).toEqual(['write 0+512', 'flush 0+0']);
  });
});

describe('flush', () => {
  test('does nothing when nothing was written since the last one', async () => {
    const backend = await open();
    await backend.flush();
    await backend.write(0, new Uint8Array(512));
    await backend.flush();
    await backend.flush();
    expect(disks[0]!.log).toEqual(['write 0+512', 'flush 0+0']);
  });

  test('is tried again after it failed', async () => {
    const backend = await open();
    await backend.write(0, new Uint8Array(512));
    disks[0]!.failNext = { op: 'flush', errno: 'EIO' };
    await expect(backend.flush()).rejects.toMatchObject({ errno: 'EIO' });
    await backend.flush();
    expect(disks[0]!.log.filter((entry) => entry.startsWith('flush')).length).toBe(2);
  });

  test('never reaches the disk with no-flush', async () => {
    const backend = await open({ cache: { 'no-flush': true } });
    await backend.write(0, new Uint8Array(512));
    await backend.flush();
    expect(disks[0]!.log).toEqual(['write 0+512']);
  });
});

describe('observers of a node', () => {
  test('hear of every change, also of one that failed', async () => {
    const backend = await open();
    const seen: [number, number][] = [];
    backend.node.writeObservers.add({ onWrite: (offset, bytes) => seen.push([offset, bytes]) });
    await backend.write(512, new Uint8Array(512));
    disks[0]!.failNext = { op: 'write', errno: 'ENOSPC' };
    await expect(backend.write(4096, new Uint8Array(1024))).rejects.toMatchObject({ errno: 'ENOSPC' });
    await backend.read(0, new Uint8Array(512));
    expect(seen).toEqual([
      [512, 512],
      [4096, 1024],
    ]);
  });
});

describe('detect-zeroes', () => {
  test('turns a write of zeros into write-zeroes', async () => {
    const backend = await open({ 'detect-zeroes': 'on', size: 2 << 20 });
    await backend.write(0, new Uint8Array(3 << 19));
    // The driver has no write-zeroes: the fallback comes in pieces of a MiB.
    expect(disks[0]!.log).toEqual(['write 0+1048576', 'write 1048576+524288']);
  });

  test('with unmap needs discard=unmap', async () => {
    await expect(open({ 'detect-zeroes': 'unmap' })).rejects.toThrow(
      'setting detect-zeroes to unmap is not allowed without setting discard operation to unmap',
    );
  });
});
