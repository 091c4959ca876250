import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BitmapExports, bitmapMemoryBytes, HierarchicalBitmap } from '../../host/core/bitmap.ts';
import { CoreInstance } from '../../host/core/instance.ts';
import { coreModule } from '../../host/core/module.ts';

const granularity = 512;
/** What words travel in. */
const partBytes = 65_536;

/** A bitmap as an array with a flag per granule. */
class Model {
  bits: Uint8Array;

  constructor(
    public size: number,
    readonly granularity: number,
  ) {
    this.bits = new Uint8Array(Math.ceil(size / granularity));
  }

  set(offset: number, bytes: number): void {
    const end = Math.min(offset + bytes, this.size);
    if (offset < end)
      this.bits.fill(1, Math.floor(offset / this.granularity), Math.ceil(end / this.granularity));
  }

  reset(offset: number, bytes: number): void {
    const first = Math.ceil(offset / this.granularity);
    const end = offset + bytes;
    const limit = end >= this.size ? this.bits.length : Math.floor(end / this.granularity);
    if (bytes > 0 && first < limit) this.bits.fill(0, first, limit);
  }

  resize(size: number): void {
    const bits = new Uint8Array(Math.ceil(size / this.granularity));
    bits.set(this.bits.subarray(0, bits.length));
    this.bits = bits;
    this.size = size;
  }

  get count(): number {
    return this.bits.reduce((sum, bit) => sum + bit, 0) * this.granularity;
  }

  at(offset: number): boolean {
    return this.bits[Math.floor(offset / this.granularity)] === 1;
  }

  /** End of the stretch that is like `offset`, at most `end`. */
  runEnd(offset: number, end: number): number {
    const granule = Math.floor(offset / this.granularity);
    const change = this.bits.subarray(granule).findIndex((bit) => bit !== this.bits[granule]);
    return change < 0 ? end : Math.min(end, (granule + change) * this.granularity);
  }

  next(dirty: boolean, offset: number, bytes: number): number {
    const end = Math.min(offset + bytes, this.size);
    if (offset >= end) return -1;
    if (this.at(offset) === dirty) return offset;
    const change = this.runEnd(offset, end);
    return change < end ? change : -1;
  }

  area(start: number, end: number, maxBytes: number): { offset: number; bytes: number } | undefined {
    const offset = this.next(true, start, end - start);
    if (offset < 0) return undefined;
    return { offset, bytes: this.runEnd(offset, Math.min(end, this.size, offset + maxBytes)) - offset };
  }

  areas(start: number, end: number): [number, number][] {
    const areas: [number, number][] = [];
    for (let next = this.area(start, end, end); next; next = this.area(start, end, end)) {
      areas.push([next.offset, next.bytes]);
      start = next.offset + next.bytes;
    }
    return areas;
  }

  words(): Uint8Array {
    const words = new Uint8Array(Math.max(1, Math.ceil(this.bits.length / 64)) * 8);
    for (const [i, bit] of this.bits.entries()) words[i >>> 3]! |= bit << (i & 7);
    return words;
  }
}

/** Sizes in granules around the borders of words and levels, and a few in between that are not whole granules. */
const sizes = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(0, 1, 2, 63, 64, 65, 127, 128, 129, 4097, 8191, 8192, 8193, 12_345, 16_384, 33_000),
      fc.integer({ min: 0, max: 300 }),
    ),
    fc.constantFrom(0, 0, 1, 511),
  )
  .map(([granules, cut]) => Math.max(0, granules * granularity - cut));

/** A place as a part of the size, so that shrinking and resizing keep it meaningful; often at the border of a word or a page. */
const place = fc.tuple(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.constantFrom(1, granularity, 64 * granularity, 8192 * granularity),
);
const range = fc.tuple(place, place);

type Place = [number, number];

function resolveRange(size: number, [a, b]: [Place, Place]): [number, number] {
  const resolve = ([part, unit]: Place): number => Math.floor((part * (size + granularity)) / unit) * unit;
  const [start, end] = [resolve(a), resolve(b)].sort((x, y) => x - y) as [number, number];
  return [start, end - start];
}

const operations = fc.array(
  fc.oneof(
    fc.record({ op: fc.constant('set' as const), range }),
    fc.record({ op: fc.constant('reset' as const), range }),
    fc.record({ op: fc.constant('resize' as const), size: sizes }),
    fc.record({ op: fc.constant('clear' as const) }),
    fc.record({ op: fc.constant('setAll' as const) }),
    fc.record({ op: fc.constant('load' as const), range, seed: fc.integer() }),
  ),
  { maxLength: 30 },
);

function expectEqual(bitmap: HierarchicalBitmap, model: Model): void {
  expect(bitmap.count).toBe(model.count);
  expect(Buffer.from(bitmap.serialize()).equals(model.words())).toBe(true);
}

describe('a hierarchical bitmap', () => {
  test('answers as an array of flags does, whatever was done to it', () => {
    fc.assert(
      fc.property(sizes, operations, fc.array(range, { maxLength: 8 }), (size, steps, questions) => {
        const bitmap = HierarchicalBitmap.create(size, granularity);
        const model = new Model(size, granularity);
        for (const step of steps) {
          if (step.op === 'set' || step.op === 'reset') {
            const [offset, bytes] = resolveRange(model.size, step.range);
            bitmap[step.op](offset, bytes);
            model[step.op](offset, bytes);
          } else if (step.op === 'resize') {
            bitmap.resize(step.size);
            model.resize(step.size);
          } else if (step.op === 'clear') {
            bitmap.clear();
            model.bits.fill(0);
          } else if (step.op === 'setAll') {
            bitmap.setAll();
            model.bits.fill(1);
          } else {
            load(bitmap, model, step.range, step.seed);
          }
          expectEqual(bitmap, model);
        }
        for (const question of questions) {
          const [offset, bytes] = resolveRange(model.size, question);
          const end = Math.min(offset + bytes, model.size);
          expect(bitmap.get(offset)).toBe(model.at(offset));
          expect(bitmap.nextDirty(offset, bytes)).toBe(model.next(true, offset, bytes));
          expect(bitmap.nextZero(offset, bytes)).toBe(model.next(false, offset, bytes));
          expect(bitmap.nextDirtyArea(offset, offset + bytes, 1300)).toEqual(
            model.area(offset, offset + bytes, 1300),
          );
          const areas: [number, number][] = [];
          for (const walk = bitmap.walk(offset, offset + bytes); walk.next(); )
            areas.push([walk.offset, walk.bytes]);
          expect(areas).toEqual(model.areas(offset, end));
          const status = offset < end ? model.runEnd(offset, end) - offset : 0;
          expect(bitmap.status(offset, bytes)).toEqual({
            dirty: status > 0 && model.at(offset),
            bytes: status,
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  /** Loads words that are mostly zero, all ones or mixed, some of them past the end. */
  function load(bitmap: HierarchicalBitmap, model: Model, range: [Place, Place], seed: number): void {
    const [start, bytes] = resolveRange(model.size, range);
    const firstWord = Math.floor(Math.min(start, model.size) / granularity / 64);
    const words = new Uint8Array((Math.ceil(bytes / granularity / 64) + 1) * 8);
    let state = seed;
    for (let at = 0; at < words.length; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
      words[at] = [0, 0, 0xff, state >>> 16][(state >>> 28) & 3]!;
    }
    bitmap.deserialize(words, firstWord * 64 * granularity);
    for (let i = 0; i < words.length * 8; i++) {
      const bit = firstWord * 64 + i;
      if (bit < model.bits.length) model.bits[bit] = (words[i >>> 3]! >>> (i & 7)) & 1;
    }
  }

  test('merges bitmaps of any two granularities', () => {
    const granularities = fc.constantFrom(512, 1024, 65_536);
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: 20_000_000 }), fc.constantFrom(0, 512, 32_768, 40_000_000)),
        granularities,
        granularities,
        fc.array(range, { maxLength: 6 }),
        fc.array(range, { maxLength: 6 }),
        (size, targetGranularity, sourceGranularity, targetRanges, sourceRanges) => {
          const target = HierarchicalBitmap.create(size, targetGranularity);
          const source = HierarchicalBitmap.create(size, sourceGranularity);
          const expected = new Model(size, targetGranularity);
          for (const part of targetRanges) {
            const [offset, bytes] = resolveRange(size, part);
            target.set(offset, bytes);
            expected.set(offset, bytes);
          }
          for (const part of sourceRanges) {
            const [offset, bytes] = resolveRange(size, part);
            source.set(offset, bytes);
            const first = Math.floor(offset / sourceGranularity) * sourceGranularity;
            const end = Math.ceil(Math.min(offset + bytes, size) / sourceGranularity) * sourceGranularity;
            if (bytes > 0 && offset < size) expected.set(first, end - first);
          }
          const before = source.serialize();
          target.merge(source);
          expectEqual(target, expected);
          expect(source.serialize()).toEqual(before);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('serializes parts that put together again make the same bitmap', () => {
    const part = 64 * granularity;
    fc.assert(
      fc.property(fc.array(range, { maxLength: 10 }), fc.integer({ min: 1, max: 40 }), (ranges, step) => {
        const size = 100 * part + 1000;
        const bitmap = HierarchicalBitmap.create(size, granularity);
        for (const one of ranges) bitmap.set(...resolveRange(size, one));
        const copy = HierarchicalBitmap.create(size, granularity);
        copy.setAll();
        for (let offset = 0; offset < size; offset += step * part) {
          copy.deserialize(bitmap.serialize(offset, Math.min(step * part, size - offset)), offset);
        }
        expect(copy.serialize()).toEqual(bitmap.serialize());
        expect(copy.count).toBe(bitmap.count);
      }),
    );
  });

  test('may be changed ahead and behind by whoever walks it', () => {
    const bitmap = HierarchicalBitmap.create(100_000 * granularity, granularity);
    for (let granule = 0; granule < 100_000; granule += 100) bitmap.set(granule * granularity, 1);
    const seen: number[] = [];
    const next = (from: number) => bitmap.nextDirtyArea(from, bitmap.size, bitmap.size);
    for (let area = next(0); area; area = next(area.offset + area.bytes)) {
      const { offset, bytes } = area;
      const granule = offset / granularity;
      seen.push(granule);
      bitmap.reset(offset, bytes);
      if (granule === 500) bitmap.set(50 * granularity, 1);
      if (granule === 1000) bitmap.reset(1100 * granularity, granularity);
      if (granule === 2000) bitmap.set(2050 * granularity, 1);
    }
    expect(seen.slice(9, 12)).toEqual([900, 1000, 1200]);
    expect(seen).toContain(2050);
    expect(seen).not.toContain(50);
    expect(bitmap.count).toBe(granularity);
  });

  test('is exact on a disk of 8 PiB', () => {
    const size = 2 ** 53 - 2 ** 20;
    const large = 2 ** 31;
    const bitmap = HierarchicalBitmap.create(size, large);
    bitmap.set(size - 1, 1);
    bitmap.set(2 ** 52 + 1, large);
    expect(bitmap.count).toBe(3 * large);
    expect(bitmap.nextDirty(0, size)).toBe(2 ** 52);
    expect(bitmap.nextDirtyArea(2 ** 52 + 2 * large, size, size)).toEqual({
      offset: 2 ** 53 - large,
      bytes: large - 2 ** 20,
    });
  });

  test('needs the memory that is set aside for it, empty and full of mixed pages', () => {
    for (const granules of [0, 1, 64, 8192, 8193, 524_289, 2_000_000]) {
      const size = granules * granularity;
      const { least, most } = bitmapMemoryBytes(size, granularity);
      const core = new CoreInstance<BitmapExports & { arena_used(): number }>(coreModule, least, most);
      const before = core.exports.arena_used();
      const handle = core.exports.bitmap_init(size, size, 9);
      expect(core.exports.arena_used() - before).toBeLessThanOrEqual(least);
      const bitmap = HierarchicalBitmap.at(core, handle, size, granularity);
      bitmap.deserialize(bitmap.serialize().fill(0x55));
      for (const walk = bitmap.walk(); walk.next(); );
      const used = core.exports.arena_used() - before;
      expect(used).toBeLessThanOrEqual(most);
      expect(used).toBeGreaterThan(most - partBytes - 2048);
    }
  });
});

const tebibyte = 2 ** 40;

/** A bitmap whose instance can be looked at. */
function measured(size: number, granularity: number) {
  const { least, most } = bitmapMemoryBytes(size, granularity);
  const core = new CoreInstance<BitmapExports>(coreModule, least, most);
  const handle = core.exports.bitmap_init(size, size, Math.log2(granularity));
  const bitmap = HierarchicalBitmap.at(core, handle, size, granularity);
  return { bitmap, memoryBytes: () => core.memory.length };
}

describe('a bitmap about a huge disk', () => {
  test('takes its directory while it is clear, and no more when it is set', () => {
    const { bitmap, memoryBytes } = measured(64 * tebibyte, 65_536);
    const atFirst = memoryBytes();
    expect(atFirst).toBeLessThan(1.25 * 2 ** 20);
    bitmap.setAll();
    expect(bitmap.count).toBe(64 * tebibyte);
    expect(bitmap.nextZero(0, bitmap.size)).toBe(-1);
    bitmap.reset(5 * tebibyte, 3 * tebibyte);
    expect(bitmap.nextZero(0, bitmap.size)).toBe(5 * tebibyte);
    expect(bitmap.nextDirty(6 * tebibyte, bitmap.size)).toBe(8 * tebibyte);
    expect(bitmap.count).toBe(61 * tebibyte);
    bitmap.clear();
    expect(bitmap.nextDirty(0, bitmap.size)).toBe(-1);
    expect(memoryBytes()).toBeLessThanOrEqual(atFirst + 2 * 65_536);
  });

  test('takes a page for each place that was written to, and uses it again when that is clean', () => {
    const { bitmap, memoryBytes } = measured(64 * tebibyte, 65_536);
    const places = 4096;
    const step = bitmap.size / places;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < places; i++) bitmap.set(i * step + round * 10 * 65_536, 65_536);
      expect(bitmap.count).toBe(places * 65_536);
      expect(memoryBytes()).toBeLessThan(6 * 2 ** 20);
      for (let i = 0; i < places; i++) bitmap.reset(i * step, step);
      expect(bitmap.count).toBe(0);
    }
  });

  test('is copied, merged and enlarged in the memory of what is in it', () => {
    const { bitmap, memoryBytes } = measured(tebibyte, 512);
    bitmap.set(3 * 2 ** 30, 2 ** 30);
    bitmap.set(tebibyte - 1, 1);
    const copy = measured(tebibyte, 512);
    copy.bitmap.merge(bitmap);
    expect(copy.memoryBytes()).toBeLessThanOrEqual(memoryBytes() + 2 * 65_536);
    expect(copy.bitmap.count).toBe(2 ** 30 + 512);
    const grown = HierarchicalBitmap.create(tebibyte, 512);
    grown.merge(bitmap);
    grown.resize(8 * tebibyte);
    expect(grown.count).toBe(2 ** 30 + 512);
    expect(grown.nextDirty(4 * 2 ** 30, 8 * tebibyte)).toBe(tebibyte - 512);
  });

  test('is told in parts of any length where it is all clear or all set', () => {
    const bitmap = HierarchicalBitmap.create(tebibyte, 512);
    bitmap.set(2 ** 39, 2 ** 38);
    bitmap.set(2 ** 38 + 512, 512);
    const parts = [...bitmap.parts()].map(({ at, bytes, content }) => [
      at,
      bytes,
      typeof content === 'string' ? content : 'words',
    ]);
    const perByte = 4096;
    const [quarter, half] = [2 ** 38 / perByte, 2 ** 39 / perByte];
    expect(parts).toEqual([
      [0, quarter, 'clear'],
      [quarter, 65_536, 'words'],
      [quarter + 65_536, half - quarter - 65_536, 'clear'],
      [half, quarter, 'set'],
      [half + quarter, quarter, 'clear'],
    ]);
  });
});
