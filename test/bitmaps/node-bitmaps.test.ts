import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { bitmapsOf, findBitmap, type NodeBitmaps } from '../../host/bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { type ArrayDisk, arrayProtocol } from '../support/array-driver.ts';
import { attach } from '../support/attach.ts';
import { kib, mib } from '../support/units.ts';

let disks: ArrayDisk[];
let graph: BlockGraph;
let node: BlockNode;
let backend: BlockBackend;
let bitmaps: NodeBitmaps;

beforeEach(async () => {
  disks = [];
  graph = new BlockGraph({ platform: createSimulation(1).platform, drivers: [arrayProtocol(disks)] });
  node = await graph.open({ driver: 'array', 'node-name': 'n', size: 10 * mib, discard: 'unmap' });
  backend = await attach(node);
  bitmaps = bitmapsOf(node);
});

const write = (offset: number, bytes: number): Promise<void> =>
  backend.write(offset, new Uint8Array(bytes).fill(1));

describe('the bitmaps of a node', () => {
  test('record writes, write-zeroes and discards of enabled ones, widened to granules', async () => {
    const fine = bitmaps.add('fine', { granularity: 4 * kib });
    const coarse = bitmaps.add('coarse', { granularity: 1 * mib });
    const off = bitmaps.add('off', { disabled: true });
    await write(100, 1);
    await backend.writeZeroes(64 * kib - 512, 1024);
    node.driver.discard = async () => {};
    await backend.discard(9 * mib, 8 * kib);
    await backend.read(5 * mib, new Uint8Array(4096));
    expect(fine.count).toBe((1 + 2 + 2) * 4 * kib);
    expect(coarse.count).toBe(2 * mib);
    expect(off.count).toBe(0);
  });

  test('record a request that failed', async () => {
    const bitmap = bitmaps.add('b');
    disks[0]!.failNext = { op: 'write', errno: 'ENOSPC' };
    await expect(write(0, 512)).rejects.toMatchObject({ errno: 'ENOSPC' });
    expect(bitmap.count).toBe(64 * kib);
  });

  test('follow the length of the node, and what is new is clean', async () => {
    const bitmap = bitmaps.add('b');
    bitmap.bits.setAll();
    await backend.truncate(1 * mib);
    expect([bitmap.size, bitmap.count]).toEqual([1 * mib, 1 * mib]);
    await backend.truncate(100 * mib);
    expect([bitmap.size, bitmap.count]).toEqual([100 * mib, 1 * mib]);
    await write(99 * mib, 1);
    expect(bitmap.bits.nextDirty(1 * mib, 99 * mib)).toBe(99 * mib);
  });

  test('follow a write that makes the node longer', () => {
    const bitmap = bitmaps.add('b');
    node.growTo(20 * mib);
    for (const observer of node.writeObservers) observer.onWrite(20 * mib - 1, 1);
    expect([bitmap.size, bitmap.count]).toEqual([20 * mib, 64 * kib]);
  });

  test('cost a node without any nothing', () => {
    expect(node.writeObservers.size).toBe(0);
    const a = bitmaps.add('a');
    const b = bitmaps.add('b');
    expect(node.writeObservers.size).toBe(1);
    bitmaps.remove(a);
    expect(node.writeObservers.size).toBe(1);
    bitmaps.remove(b);
    expect(node.writeObservers.size).toBe(0);
  });

  test('are queried newest first, and not at all when there are none', () => {
    expect(bitmaps.query()).toBeUndefined();
    bitmaps.add('a');
    bitmaps.addAnonymous(4096, { disabled: true });
    bitmaps.add('c', { disabled: true });
    expect(bitmaps.query()!.map(({ name, recording }) => [name, recording])).toEqual([
      ['c', false],
      [undefined, false],
      ['a', true],
    ]);
  });

  test('hash as in QEMU', () => {
    const bitmap = bitmaps.add('b');
    // What x-debug-block-dirty-bitmap-sha256 of QEMU says about a clean bitmap of 10 MiB by 64 KiB.
    expect(createHash('sha256').update(bitmap.bits.serialize()).digest('hex')).toBe(
      '9d908ecfb6b256def8b49a7c504e6c889c4b0e41fe6ce3e01863dd7b61a20aa0',
    );
  });
});

describe('adding a bitmap', () => {
  test('takes the cluster size of the image for its granularity, within 4 and 64 KiB', () => {
    const granularityFor = (clusterBytes: number | undefined): number => {
      node.driver.info = () => (clusterBytes === undefined ? {} : { clusterBytes });
      return bitmaps.defaultGranularity();
    };
    expect([undefined, 512, 4096, 32 * kib, 2 * mib].map(granularityFor)).toEqual([
      64 * kib,
      4 * kib,
      4 * kib,
      32 * kib,
      64 * kib,
    ]);
  });

  test('is refused in the words and the order of QEMU', () => {
    bitmaps.add('b');
    const refusal = (name: string, options = {}): string => {
      try {
        bitmaps.add(name, options);
      } catch (error) {
        return (error as Error).message;
      }
      return 'added';
    };
    const granularity = 'Granularity must be power of 2 and at least 512';
    const cannotStore = "Can't store persistent bitmaps to n: Operation not supported";
    expect(refusal('', { granularity: 3 })).toBe('Bitmap name cannot be empty');
    for (const wrong of [0, 256, 1000, 3 * 512])
      expect(refusal('c', { granularity: wrong })).toBe(granularity);
    expect(refusal('c', { granularity: 1000, persistent: true })).toBe(granularity);
    expect(refusal('b', { persistent: true })).toBe(cannotStore);
    expect(refusal('b')).toBe('Bitmap already exists: b');
    const long = 'é'.repeat(512);
    expect(refusal(long)).toBe(`Bitmap name too long: ${long}`);
    expect(refusal('x'.repeat(1023))).toBe('added');
    expect(refusal('c', { granularity: 2 ** 31 })).toBe('added');
  });

  test('is looked up with the words of QEMU', () => {
    const bitmap = bitmaps.add('b');
    expect(findBitmap(graph, 'n', 'b')).toEqual({ node, bitmap });
    expect(() => findBitmap(graph, 'zz', 'b')).toThrow("Node 'zz' not found");
    expect(() => findBitmap(graph, 'n', 'zz')).toThrow("Dirty bitmap 'zz' not found");
  });
});

describe('a successor', () => {
  test('records in the place of a bitmap that an operation has', async () => {
    const bitmap = bitmaps.add('b');
    await write(0, 1 * mib);
    bitmaps.createSuccessor(bitmap);
    await write(5 * mib, 512);
    expect(bitmaps.query()).toEqual([
      { recording: true, persistent: false, busy: false, granularity: 65_536, count: 65_536 },
      { name: 'b', recording: true, persistent: false, busy: true, granularity: 65_536, count: 1 * mib },
    ]);
    expect(() => bitmap.check('modify')).toThrow('currently in use');
  });

  test('becomes the bitmap when that was consumed, at its own place in the list', async () => {
    const bitmap = bitmaps.add('b');
    bitmaps.add('other');
    await write(0, 1 * mib);
    bitmaps.createSuccessor(bitmap);
    await write(5 * mib, 512);
    const now = bitmaps.abdicate(bitmap);
    expect(bitmaps.get('b')).toBe(now);
    expect(bitmaps.query()!.map(({ name, count, busy }) => [name, count, busy])).toEqual([
      ['b', 65_536, false],
      ['other', 1 * mib + 65_536, false],
    ]);
    await write(6 * mib, 512);
    expect(now.count).toBe(2 * 65_536);
  });

  test('gives what it recorded back when the bitmap was not consumed', async () => {
    const bitmap = bitmaps.add('b');
    await write(0, 1 * mib);
    bitmaps.createSuccessor(bitmap);
    await write(5 * mib, 512);
    bitmaps.reclaim(bitmap);
    expect(bitmaps.query()).toEqual([
      { name: 'b', recording: true, persistent: false, busy: false, granularity: 65_536, count: 1_114_112 },
    ]);
    await write(6 * mib, 512);
    expect(bitmap.count).toBe(1_114_112 + 65_536);
  });

  test('of a disabled bitmap records as little, unless it is enabled meanwhile', async () => {
    const bitmap = bitmaps.add('b', { disabled: true });
    const successor = bitmaps.createSuccessor(bitmap);
    await write(0, 512);
    expect(bitmap.recording).toBe(false);
    successor.disabled = false;
    expect(bitmap.recording).toBe(true);
    await write(0, 512);
    bitmaps.reclaim(bitmap);
    expect([bitmap.disabled, bitmap.count]).toEqual([false, 65_536]);
  });
});
