import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { type Claim, CopyMap } from '../../host/copy/copy-map.ts';
import { kib } from '../support/units.ts';

describe('a copy map', () => {
  it('counts the short last cluster as a whole one, and claims no more than there is', () => {
    const map = new CopyMap(130 * kib, 64 * kib);
    map.setAll();
    expect(map.dirtyBytes).toBe(192 * kib);
    const claim = map.claim(0, 1e9);
    expect(claim).toMatchObject({ offset: 0, bytes: 130 * kib });
  });

  it('offers what is free behind a claim, and lets others wait for its end', async () => {
    const map = new CopyMap(256 * kib, 64 * kib);
    map.setAll();
    const claim = map.claim(64 * kib, 64 * kib)!; // all is dirty
    expect(map.next(0, 256 * kib)).toMatchObject({ offset: 0, bytes: 64 * kib });
    expect(map.next(100 * kib, 256 * kib)).toMatchObject({ offset: 128 * kib, bytes: 128 * kib });
    const step = map.next(100 * kib, 128 * kib);
    expect(step).toHaveProperty('ended');
    expect(map.claim(64 * kib, 64 * kib)).toBeUndefined();
    expect(map.dirtyBytes).toBe(256 * kib);
    map.end(claim, true);
    await (step as { ended: Promise<void> }).ended;
    await map.whenFree(64 * kib, 64 * kib);
    expect(map.isDirty(64 * kib, 64 * kib)).toBe(false);
    expect(map.dirtyBytes).toBe(192 * kib);
  });

  it('lets those wait who find the table of claims full', async () => {
    const map = new CopyMap(1000 * 64 * kib, 64 * kib);
    map.setAll();
    const claims: Claim[] = [];
    let offset = 0;
    for (; ; offset += 64 * kib) {
      const claim = map.claim(offset, 64 * kib);
      if (!claim) break;
      claims.push(claim);
    }
    let free = false;
    const waiting = map.whenFree(offset, 64 * kib).then(() => {
      free = true;
    });
    await Promise.resolve();
    expect(free).toBe(false);
    for (const claim of claims) map.end(claim, true);
    await waiting;
    expect(map.claim(offset, 64 * kib)).toBeDefined();
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
      if (!run || 'ended' in run) continue;
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
