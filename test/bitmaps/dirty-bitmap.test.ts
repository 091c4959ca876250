import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BitmapUse, DirtyBitmap, mergeBitmaps } from '../../host/bitmaps/dirty-bitmap.ts';
import { kib } from '../support/units.ts';

function bitmap(size = 1024 * kib, granularity = 64 * kib): DirtyBitmap {
  return new DirtyBitmap({ name: 'b', size, granularity });
}

const inUse = "Bitmap 'b' is currently in use by another operation and cannot be used";
const readonly = "Bitmap 'b' is readonly and cannot be modified";
const inconsistent = "Bitmap 'b' is inconsistent and cannot be used";

describe('a dirty bitmap', () => {
  test('refuses what its state does not allow, the first reason first', () => {
    const uses: BitmapUse[] = ['modify', 'toggle', 'read', 'remove'];
    const refusals = (states: Partial<DirtyBitmap>): (string | undefined)[] => {
      const one = Object.assign(bitmap(), states);
      return uses.map((use) => {
        try {
          one.check(use);
          return undefined;
        } catch (error) {
          return (error as Error).message;
        }
      });
    };
    expect(refusals({})).toEqual([undefined, undefined, undefined, undefined]);
    expect(refusals({ disabled: true })).toEqual([undefined, undefined, undefined, undefined]);
    expect(refusals({ busy: true })).toEqual([inUse, inUse, inUse, inUse]);
    expect(refusals({ readonly: true })).toEqual([readonly, undefined, undefined, readonly]);
    expect(refusals({ inconsistent: true })).toEqual([inconsistent, inconsistent, inconsistent, undefined]);
    expect(refusals({ busy: true, readonly: true, inconsistent: true })).toEqual([
      inUse,
      inUse,
      inUse,
      inUse,
    ]);
    expect(refusals({ readonly: true, inconsistent: true })).toEqual([
      readonly,
      inconsistent,
      inconsistent,
      readonly,
    ]);
  });

  test('tells about itself with the members of BlockDirtyInfo in their order', () => {
    const one = bitmap();
    one.bits.set(100, 64 * kib);
    expect(JSON.stringify(one.query())).toBe(
      '{"name":"b","recording":true,"persistent":false,"busy":false,"granularity":65536,"count":131072}',
    );
    const lost = new DirtyBitmap({ size: 0, granularity: 512, disabled: true, inconsistent: true });
    expect(lost.query()).toMatchObject({ recording: false, inconsistent: true });
    expect('name' in new DirtyBitmap({ size: 0, granularity: 512 }).query()).toBe(false);
  });

  test('counts whole granules, so that the sum may exceed the size', () => {
    const one = bitmap(100 * kib, 64 * kib);
    one.bits.setAll();
    expect(one.count).toBe(128 * kib);
  });

  test('gives its bits as little-endian words, at least one', () => {
    expect(bitmap(0).bits.serialize()).toEqual(new Uint8Array(8));
    const one = bitmap(70 * 64 * kib);
    one.bits.set(9 * 64 * kib, 1);
    one.bits.set(69 * 64 * kib, 1);
    const expected = new Uint8Array(16);
    expected[1] = 2;
    expected[8] = 1 << 5;
    expect(one.bits.serialize()).toEqual(expected);
  });

  test('takes a clear back, also after a resize', () => {
    const one = bitmap();
    one.bits.set(0, 128 * kib);
    const before = one.clear();
    expect(one.count).toBe(0);
    one.bits.set(512 * kib, 1);
    one.bits.resize(64 * kib);
    one.restore(before);
    expect([one.size, one.count]).toEqual([64 * kib, 64 * kib]);
  });
});

describe('merging', () => {
  test('adds the bits of all sources and can be taken back', () => {
    const granularities = fc.constantFrom(512, 4096, 65_536);
    const places = fc.array(fc.nat(1024 * kib - 1), { maxLength: 10 });
    fc.assert(
      fc.property(fc.array(fc.tuple(granularities, places), { minLength: 1, maxLength: 4 }), (bitmaps) => {
        const [target, ...sources] = bitmaps.map(([granularity, dirty]) => {
          const one = bitmap(1024 * kib, granularity);
          for (const offset of dirty) one.bits.set(offset, 1);
          return one;
        });
        const expected = target!.bits.copy();
        for (const source of sources) {
          for (const walk = source.bits.walk(); walk.next(); ) expected.set(walk.offset, walk.bytes);
        }
        const original = target!.bits.serialize();
        const before = mergeBitmaps(target!, [...sources, target!]);
        expect(target!.bits.serialize()).toEqual(expected.serialize());
        target!.restore(before);
        expect(target!.bits.serialize()).toEqual(original);
      }),
      { numRuns: 30 },
    );
  });

  test('changes nothing when one source cannot be used', () => {
    const target = bitmap();
    const good = bitmap();
    good.bits.setAll();
    const busy = Object.assign(bitmap(), { name: 'c', busy: true });
    expect(() => mergeBitmaps(target, [good, busy])).toThrow("Bitmap 'c' is currently in use");
    expect(() => mergeBitmaps(target, [good, bitmap(2048 * kib)])).toThrow(
      "Bitmaps are of different sizes (destination size is 1048576, source size is 2097152) and can't be merged",
    );
    expect(() =>
      mergeBitmaps(
        target,
        (function* () {
          yield good;
          throw new Error('no such bitmap');
        })(),
      ),
    ).toThrow('no such bitmap');
    expect(target.count).toBe(0);
  });

  test('names the target first when that cannot be changed', () => {
    const target = Object.assign(bitmap(), { busy: true });
    expect(() => mergeBitmaps(target, [bitmap(2048 * kib)])).toThrow(inUse);
  });
});
