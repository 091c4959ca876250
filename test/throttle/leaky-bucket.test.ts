/** The leaky buckets against the formulas of the specification, written down a second time. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { mapBuckets, unlimited } from '../../host/throttle/config.ts';
import { LeakyBuckets } from '../../host/throttle/leaky-bucket.ts';
import { mergeLimits } from '../../host/throttle/limit-names.ts';

test('a bucket without a burst rate holds a tenth of a second', () => {
  const buckets = new LeakyBuckets(mergeLimits(unlimited, { 'bps-total': 1000 }), 0);
  buckets.account('read', 100);
  expect(buckets.waitNs('read', 0)).toBe(0);
  buckets.account('write', 50);
  expect(buckets.waitNs('read', 0)).toBe(50e6);
  expect(buckets.waitNs('write', 20e6)).toBe(30e6);
  expect(buckets.waitNs('write', 50e6)).toBe(0);
});

test('a bucket with a burst rate holds what the burst may be, and its rate is kept too', () => {
  const limits = { 'iops-read': 10, 'iops-read-max': 100, 'iops-read-max-length': 5 };
  const buckets = new LeakyBuckets(mergeLimits(unlimited, limits), 0);
  for (let i = 0; i < 11; i++) buckets.account('read', 1);
  expect(buckets.waitNs('read', 0)).toBe(10e6);
  for (let i = 0; i < 490; i++) buckets.account('read', 1);
  expect(buckets.waitNs('read', 0)).toBe(100e6);
  expect(buckets.waitNs('write', 0)).toBe(0);
});

test('new limits start with empty buckets', () => {
  const config = mergeLimits(unlimited, { 'iops-total': 1 });
  const buckets = new LeakyBuckets(config, 0);
  buckets.account('read', 1);
  expect(buckets.waitNs('read', 0)).toBeGreaterThan(0);
  buckets.configure(config, 0);
  expect(buckets.waitNs('read', 0)).toBe(0);
});

test('time that goes backwards leaks nothing', () => {
  const buckets = new LeakyBuckets(mergeLimits(unlimited, { 'bps-total': 1000 }), 1e9);
  buckets.account('read', 600);
  expect(buckets.waitNs('read', 0)).toBe(500e6);
  expect(buckets.waitNs('read', 500e6)).toBe(0);
});

test('each bucket follows its formula, whatever is asked when', () => {
  const rate = fc.constantFrom(0, 1, 10, 1000);
  const bucket = fc
    .record({ avg: rate, factor: fc.constantFrom(0, 1, 3), burstLength: fc.constantFrom(1, 2, 60) })
    .map(({ avg, factor, burstLength }) => ({
      avg,
      max: avg * factor,
      burstLength: factor === 0 ? 1 : burstLength,
    }));
  const steps = fc.array(
    fc.record({
      direction: fc.constantFrom<'read' | 'write'>('read', 'write'),
      bytes: fc.constantFrom(1, 512, 4096, 10_000),
      passNs: fc.constantFrom(0, 1, 1e6, 1e8, 7e9),
    }),
    { maxLength: 40 },
  );
  void fc.assert(
    fc.property(
      fc.array(bucket, { minLength: 6, maxLength: 6 }),
      fc.constantFrom(0, 512, 3000),
      steps,
      (list, iopsSize, script) => {
        let next = 0;
        const config = { buckets: mapBuckets(() => list[next++]!), iopsSize };
        const buckets = new LeakyBuckets(config, 0);
        const models = Object.entries(config.buckets).map(([name, limits]) => ({
          name,
          ...limits,
          level: 0,
          burst: 0,
        }));
        let now = 0;
        for (const { direction, bytes, passNs } of script) {
          now += passNs;
          const concerned = models.filter(({ name }) => name.endsWith('total') || name.endsWith(direction));
          for (const model of models) {
            model.level = Math.max(model.level - (model.avg * passNs) / 1e9, 0);
            model.burst = Math.max(model.burst - (model.max * passNs) / 1e9, 0);
          }
          const waits = concerned.map(({ avg, max, burstLength, level, burst }) => {
            if (avg === 0) return 0;
            const capacity = max === 0 ? avg / 10 : max * burstLength;
            if (level > capacity) return ((level - capacity) * 1e9) / avg;
            if (burstLength > 1 && burst > max / 10) return ((burst - max / 10) * 1e9) / max;
            return 0;
          });
          expect(buckets.waitNs(direction, now)).toBe(Math.trunc(Math.max(...waits)));
          buckets.account(direction, bytes);
          const operations = iopsSize > 0 && bytes > iopsSize ? bytes / iopsSize : 1;
          for (const model of concerned) {
            const units = model.name.startsWith('bps') ? bytes : operations;
            model.level += units;
            model.burst += units;
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});
