import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstNonZero, isZero, ScanArena } from '../../host/core/scan.ts';

/** Zeros with a few other bytes in them, at any alignment. */
const content = fc
  .tuple(
    fc.integer({ min: 0, max: 700 }),
    fc.integer({ min: 0, max: 70 }),
    fc.array(fc.tuple(fc.nat(800), fc.integer({ min: 1, max: 255 })), { maxLength: 3 }),
  )
  .map(([length, skip, marks]) => {
    const whole = new Uint8Array(skip + length);
    for (const [at, value] of marks) if (at < length) whole[skip + at] = value;
    return whole.subarray(skip);
  });

function modelFirstNonZero(buffer: Uint8Array): number {
  const at = buffer.findIndex((byte) => byte !== 0);
  return at < 0 ? buffer.length : at;
}

describe('a scan for zeros', () => {
  test('finds the first byte that is not zero in a buffer anywhere', () => {
    fc.assert(
      fc.property(content, (buffer) => {
        expect(firstNonZero(buffer)).toBe(modelFirstNonZero(buffer));
        expect(isZero(buffer)).toBe(modelFirstNonZero(buffer) === buffer.length);
      }),
    );
  });

  test('looks at nothing outside the buffer', () => {
    const whole = new Uint8Array(100).fill(1);
    whole.fill(0, 33, 67);
    expect(isZero(whole.subarray(33, 67))).toBe(true);
    expect(isZero(whole.subarray(32, 67))).toBe(false);
    expect(isZero(whole.subarray(33, 68))).toBe(false);
  });

  test('says the same in an instance, at any offset', () => {
    const arena = new ScanArena(4096);
    const buffer = arena.allocate(1024);
    fc.assert(
      fc.property(content, fc.nat(90), (data, offset) => {
        buffer.bytes.fill(0xff);
        buffer.bytes.set(data, offset);
        expect(arena.isZero(buffer, offset, data.length)).toBe(isZero(data));
      }),
    );
  });

  test('tells runs of zero granules from runs of data', () => {
    const arena = new ScanArena(16_384);
    const buffer = arena.allocate(8192);
    const pattern = fc.array(fc.boolean(), { minLength: 1, maxLength: 16 });
    fc.assert(
      fc.property(pattern, fc.integer({ min: 0, max: 511 }), (granules, cut) => {
        const bytes = granules.length * 512 - cut;
        buffer.bytes.fill(0);
        // The first byte, so that a short last granule has it too.
        for (const [i, data] of granules.entries()) if (data) buffer.bytes[i * 512] = 1;
        const change = granules.indexOf(!granules[0]);
        expect(arena.run(buffer, 0, bytes, 512)).toEqual({
          zero: !granules[0],
          bytes: change < 0 ? bytes : change * 512,
        });
      }),
    );
  });
});

describe('a comparison', () => {
  test('finds the first byte that differs', () => {
    const arena = new ScanArena(8192);
    const a = arena.allocate(1024);
    const b = arena.allocate(1024);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1024 }),
        fc.array(fc.nat(1023), { maxLength: 3 }),
        (bytes, places) => {
          a.bytes.fill(0x5a);
          b.bytes.fill(0x5a);
          for (const at of places) b.bytes[at] = 0xa5;
          expect(arena.firstDifference(a, b, bytes)).toBe(Math.min(bytes, ...places));
        },
      ),
    );
  });
});
