import { readFile } from 'node:fs/promises';
import asc from 'assemblyscript/asc';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { viewOf } from '../../../../host/base/view-of.ts';
import {
  compressedFlag,
  compressedRange,
  copiedFlag,
  entryOffset,
  readRefcount,
  refcountOffset,
  zeroFlag,
} from '../../../../host/formats/qcow2/disk/entry.ts';

/** What assembly/qcow2/entry.ts and assembly/qcow2/refcount-block.ts export, compiled alone. */
interface CoreEntries {
  memory: WebAssembly.Memory;
  COPIED: WebAssembly.Global;
  COMPRESSED: WebAssembly.Global;
  ZERO: WebAssembly.Global;
  OFFSET_MASK: WebAssembly.Global;
  compressedOffset(entry: bigint, clusterBits: number): bigint;
  compressedEnd(entry: bigint, clusterBits: number): bigint;
  compressedEntry(offset: bigint, bytes: bigint, clusterBits: number): bigint;
  maxRefcount(order: number): bigint;
  readRefcount(block: number, index: number, order: number): bigint;
  writeRefcount(block: number, index: number, order: number, count: bigint): void;
}

let core: CoreEntries;

beforeAll(async () => {
  const root = new URL('../../../../', import.meta.url);
  let binary = new Uint8Array();
  const { error, stderr } = await asc.main(
    ['assembly/qcow2/entry.ts', 'assembly/qcow2/refcount-block.ts', '--runtime', 'stub', '-o', 'out.wasm'],
    {
      // Nothing of the project's own configuration: these two need no more than a default build.
      readFile: (name) =>
        name.endsWith('.ts') ? readFile(new URL(name, root), 'utf8').catch(() => null) : null,
      writeFile: (name, contents) => {
        if (name === 'out.wasm') binary = contents as Uint8Array<ArrayBuffer>;
      },
    },
  );
  if (error) throw new Error(stderr.toString());
  const { instance } = await WebAssembly.instantiate(binary, {
    env: {
      abort: () => {
        throw new Error('aborted');
      },
    },
  });
  core = instance.exports as unknown as CoreEntries;
});

const u64 = (value: bigint) => BigInt.asUintN(64, value);
const entries = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const clusterSizes = fc.integer({ min: 9, max: 21 });
const orders = fc.integer({ min: 0, max: 6 });

describe('the core and the host agree', () => {
  test('on the flags and on where the offset of an entry is', () => {
    expect(u64(core.COPIED.value)).toBe(copiedFlag);
    expect(u64(core.COMPRESSED.value)).toBe(compressedFlag);
    expect(u64(core.ZERO.value)).toBe(zeroFlag);
    fc.assert(
      fc.property(entries, (entry) => {
        expect(Number(entry & u64(core.OFFSET_MASK.value))).toBe(entryOffset(entry));
      }),
    );
  });

  test('on where a compressed stream is, for every cluster size', () => {
    fc.assert(
      fc.property(entries, clusterSizes, (value, clusterBits) => {
        const entry = (value | compressedFlag) & ~copiedFlag;
        const start = u64(core.compressedOffset(entry, clusterBits));
        const { offset, bytes } = compressedRange(entry, clusterBits);
        expect(Number(start)).toBe(offset);
        expect(u64(core.compressedEnd(entry, clusterBits)) - start).toBe(BigInt(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test('on every count in a refcount block, of every width', () => {
    const block = core.memory.grow(1) * 65_536;
    fc.assert(
      fc.property(orders, fc.array(entries, { minLength: 1, maxLength: 40 }), (order, values) => {
        const bytes = new Uint8Array(core.memory.buffer, block, 512).fill(0xa5);
        const counts = values.map((value) => value & u64(core.maxRefcount(order)));
        for (const [index, count] of counts.entries()) core.writeRefcount(block, index, order, count);
        for (const [index, count] of counts.entries()) {
          expect(u64(core.readRefcount(block, index, order))).toBe(count);
          const at = refcountOffset(index, order);
          expect(readRefcount(viewOf(bytes.subarray(at, at + 8)), index, order)).toBe(count);
        }
        const end = Math.ceil((counts.length * 2 ** order) / 8);
        expect(bytes.subarray(end).every((byte) => byte === 0xa5)).toBe(true);
      }),
    );
  });
});

test('the descriptor of a stream covers exactly the sectors that it touches', () => {
  const streams = clusterSizes.chain((clusterBits) =>
    fc.record({
      clusterBits: fc.constant(clusterBits),
      offset: fc.bigInt({ min: 512n, max: 2n ** BigInt(Math.min(56, 70 - clusterBits)) - 2n ** 21n - 1n }),
      bytes: fc.bigInt({ min: 1n, max: 2n ** BigInt(clusterBits) - 1n }),
    }),
  );
  fc.assert(
    fc.property(streams, ({ clusterBits, offset, bytes }) => {
      const entry = u64(core.compressedEntry(offset, bytes, clusterBits));
      expect(entry >> 62n).toBe(1n);
      expect(u64(core.compressedOffset(entry, clusterBits))).toBe(offset);
      expect(u64(core.compressedEnd(entry, clusterBits))).toBe(((offset + bytes + 511n) / 512n) * 512n);
    }),
    { numRuns: 500 },
  );
});

test('the example of the specification is read as QEMU reads it', () => {
  expect(compressedRange(0x41800000000500e3n, 16)).toEqual({ offset: 0x500e3, bytes: 3357 });
});

test('bits 56 and above belong to the offset where clusters are small', () => {
  const entry = compressedFlag | (1n << 57n) | 0xa08n;
  expect(compressedRange(entry, 9)).toEqual({ offset: 2 ** 57 + 0xa08, bytes: 504 });
});
