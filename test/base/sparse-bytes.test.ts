import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SparseBytes } from '../../host/base/sparse-bytes.ts';

const pageBytes = 16;
const space = 200;

const range = fc
  .tuple(fc.nat(space - 1), fc.nat(80))
  .map(([offset, bytes]) => ({ offset, bytes: Math.min(bytes, space - offset) }));

const step = fc.oneof(
  fc.record({ type: fc.constant('write' as const), range, value: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ type: fc.constant('clear' as const), range }),
  fc.record({ type: fc.constant('clone' as const) }),
);

function contentOf(sparse: SparseBytes): Uint8Array {
  const all = new Uint8Array(space).fill(0xee);
  sparse.read(0, all);
  return all;
}

describe('sparse bytes', () => {
  test('are an array of bytes, and clones keep what they had', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let sparse = new SparseBytes(pageBytes);
        const model = new Uint8Array(space);
        const clones: { sparse: SparseBytes; model: Uint8Array }[] = [];
        for (const change of steps) {
          if (change.type === 'clone') {
            // Either side may be the one that goes on.
            const copy = sparse.clone();
            clones.push({ sparse: clones.length % 2 ? sparse : copy, model: model.slice() });
            if (clones.length % 2 === 0) sparse = copy;
            continue;
          }
          const { offset, bytes } = change.range;
          if (change.type === 'write') {
            sparse.write(offset, new Uint8Array(bytes).fill(change.value));
            model.fill(change.value, offset, offset + bytes);
          } else {
            sparse.clear(offset, bytes);
            model.fill(0, offset, offset + bytes);
          }
          expect(contentOf(sparse)).toEqual(model);
        }
        for (const clone of clones) expect(contentOf(clone.sparse)).toEqual(clone.model);
      }),
    );
  });

  test('know their runs: they join up, differ from their neighbours, and absent ones read as zeros', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), (ranges) => {
        const sparse = new SparseBytes(pageBytes);
        for (const { offset, bytes } of ranges) sparse.write(offset, new Uint8Array(bytes).fill(1));
        const content = contentOf(sparse);
        let before: boolean | undefined;
        for (let at = 0; at < space; ) {
          const run = sparse.run(at, space - at);
          expect(run.bytes).toBeGreaterThan(0);
          expect(run.present).not.toBe(before);
          if (!run.present)
            expect(content.subarray(at, at + run.bytes).every((value) => value === 0)).toBe(true);
          before = run.present;
          at += run.bytes;
        }
      }),
    );
  });

  test('take no memory for what was never written, however far away it is', () => {
    const sparse = new SparseBytes(65536);
    sparse.write(2 ** 46 - 1, Uint8Array.of(7));
    expect(sparse.allocatedBytes).toBe(65536);
    expect(sparse.run(0, 2 ** 46)).toEqual({ present: false, bytes: 2 ** 46 - 65536 });
    expect(sparse.missingBytes(2 ** 46 - 65536, 65537)).toBe(65536);
    sparse.clear(0, 2 ** 46);
    expect(sparse.allocatedBytes).toBe(0);
  });
});
