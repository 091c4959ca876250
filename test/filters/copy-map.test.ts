import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { ClusterBitmap } from '../../host/filters/cluster-bitmap.ts';
import { CopyMap } from '../../host/filters/copy-map.ts';

const range = fc
  .tuple(fc.nat(200), fc.nat(200))
  .map(([a, b]) => ({ first: Math.min(a, b), end: Math.max(a, b) }));

describe('a cluster bitmap', () => {
  test.prop([
    fc.array(fc.tuple(fc.constantFrom('set' as const, 'clear' as const), range), { maxLength: 30 }),
    range,
  ])('is a set of numbers', (operations, asked) => {
    const bitmap = new ClusterBitmap(200);
    const model = new Set<number>();
    for (const [operation, { first, end }] of operations) {
      bitmap[operation](first, end);
      for (let at = first; at < end; at++) operation === 'set' ? model.add(at) : model.delete(at);
    }
    expect(bitmap.count).toBe(model.size);
    const find = (member: boolean): number => {
      for (let at = asked.first; at < asked.end; at++) if (model.has(at) === member) return at;
      return asked.end;
    };
    expect(bitmap.next(asked.first, asked.end)).toBe(find(true));
    expect(bitmap.nextClear(asked.first, asked.end)).toBe(find(false));
  });
});

describe('a copy map', () => {
  const kib = 1024;

  it('counts the short last cluster as a whole one, and claims no more than there is', () => {
    const map = new CopyMap(130 * kib, 64 * kib);
    map.setAll();
    expect(map.dirtyBytes).toBe(192 * kib);
    const claim = map.claim(0, 1e9);
    expect(claim).toMatchObject({ offset: 0, bytes: 130 * kib });
  });

  it('shows a claim to those who come after, and what is free behind it', async () => {
    const map = new CopyMap(256 * kib, 64 * kib);
    map.setAll();
    const claim = map.claim(64 * kib, 64 * kib)!; // all is dirty
    expect(map.next(0, 256 * kib)).toEqual({ offset: 0, bytes: 64 * kib, claim: undefined });
    expect(map.next(100 * kib, 256 * kib)).toMatchObject({ offset: 64 * kib, bytes: 64 * kib, claim });
    expect(map.claim(64 * kib, 64 * kib)).toBeUndefined();
    map.end(claim, true);
    await claim.ended;
    expect(map.isDirty(64 * kib, 64 * kib)).toBe(false);
    expect(map.next(100 * kib, 256 * kib)).toEqual({ offset: 128 * kib, bytes: 128 * kib, claim: undefined });
  });

  it('leaves the clusters of a claim that failed to the next one', () => {
    const map = new CopyMap(64 * kib, 64 * kib);
    map.setAll();
    map.end(map.claim(0, 64 * kib)!, false);
    expect(map.claim(0, 64 * kib)).toBeDefined();
  });

  test.prop([
    fc.array(fc.record({ offset: fc.nat(1000), bytes: fc.nat(300), ok: fc.boolean(), keep: fc.boolean() }), {
      maxLength: 40,
    }),
  ])('never lets two claims overlap, and forgets exactly what was copied', (steps) => {
    const map = new CopyMap(1000, 16);
    map.setAll();
    const dirty = new Set(Array.from({ length: 63 }, (_, cluster) => cluster));
    const open: { offset: number; bytes: number }[] = [];
    for (const { offset, bytes, ok, keep } of steps) {
      const run = map.next(offset, offset + bytes);
      if (!run || run.claim) continue;
      const claim = map.claim(run.offset, run.bytes)!; // nothing happened since `next`
      for (const other of open) {
        expect(claim.offset >= other.offset + other.bytes || other.offset >= claim.offset + claim.bytes).toBe(
          true,
        );
      }
      if (keep) {
        open.push(claim);
        continue;
      }
      map.end(claim, ok);
      if (!ok) continue;
      for (let at = claim.offset; at < claim.offset + claim.bytes; at += 16) dirty.delete(at / 16);
    }
    for (let cluster = 0; cluster < 63; cluster++)
      expect(map.isDirty(cluster * 16, 1)).toBe(dirty.has(cluster));
  });
});
