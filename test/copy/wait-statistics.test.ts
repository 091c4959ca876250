import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WaitStatistics } from '../../host/copy/wait-statistics.ts';

it('quantiles are those of a sorted list, a tenth too long at most', () => {
  const waits = fc.array(fc.integer({ min: 0, max: 1e12 }), { maxLength: 200 });
  fc.assert(
    fc.property(waits, fc.constantFrom(0.5, 0.99, 1), (list, share) => {
      const statistics = new WaitStatistics();
      for (const ns of list) statistics.record(ns);
      const sorted = list.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil(list.length * share) - 1)] ?? 0;
      const found = statistics.quantileNs(share);
      expect(found).toBeGreaterThanOrEqual(exact);
      expect(found).toBeLessThanOrEqual(exact * 1.1 + 2);
      expect([statistics.count, statistics.longestNs]).toEqual([list.length, sorted.at(-1) ?? 0]);
    }),
  );
});
