/** Limits as values: what is refused, in which order, and the three spellings. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bucketNames,
  isEnabled,
  mapBuckets,
  type ThrottleConfig,
  unlimited,
  validate,
} from '../../host/throttle/config.ts';
import {
  configFromArguments,
  configFromDrive,
  limitNames,
  limitsOf,
  mergeLimits,
  shortLimitsOf,
  withoutAliases,
} from '../../host/throttle/limit-names.ts';

const drive = (options: Record<string, number>): ThrottleConfig => configFromDrive(withoutAliases(options));

describe('validation', () => {
  const cases: [string, Record<string, number>][] = [
    [
      'bps/iops/max total values and read/write values cannot be used at the same time',
      { 'bps-total': 1, 'bps-read': 1, 'iops-size': 1 },
    ],
    ['iops size requires an iops value to be set', { 'iops-size': 1, 'bps-total': -1 }],
    ['bps/iops/max values must be within [0, 1000000000000000]', { 'bps-read': 1e15 + 1 }],
    ['bps/iops/max values must be within [0, 1000000000000000]', { 'iops-read': -1 }],
    ['the burst length cannot be 0', { 'bps-total-max-length': 0, 'bps-total-max': 2 }],
    ['burst length set without burst rate', { 'bps-total': 1, 'bps-total-max-length': 2 }],
    [
      'burst length too high for this burst rate',
      { 'bps-total': 1, 'bps-total-max': 1e15, 'bps-total-max-length': 2 },
    ],
    ['bps_max/iops_max require corresponding bps/iops values', { 'iops-total-max': 5 }],
    ['bps_max/iops_max cannot be lower than bps/iops', { 'iops-total-max': 5, 'iops-total': 6 }],
  ];

  test.each(cases)('%s', (message, limits) => {
    expect(() => validate(mergeLimits(unlimited, limits))).toThrow(message);
  });

  test('takes the buckets in their order', () => {
    const limits = { 'iops-total': -1, 'bps-write-max-length': 0 };
    expect(() => validate(mergeLimits(unlimited, limits))).toThrow('the burst length cannot be 0');
  });

  test('is content with what leaves everything alone', () => {
    validate(unlimited);
    expect(isEnabled(unlimited)).toBe(false);
    expect(bucketNames.every((name) => isEnabled(mergeLimits(unlimited, { [name]: 1 })))).toBe(true);
  });
});

describe('the spellings', () => {
  const configs: fc.Arbitrary<ThrottleConfig> = fc.record({
    buckets: fc
      .array(
        fc.record({
          avg: fc.nat(),
          max: fc.integer({ min: 1, max: 1e9 }),
          burstLength: fc.integer({ min: 1, max: 99 }),
        }),
        {
          minLength: 6,
          maxLength: 6,
        },
      )
      .map((list) => {
        let next = 0;
        return mapBuckets(() => list[next++]!);
      }),
    iopsSize: fc.nat(),
  });

  test('of an object and of -drive give back what they were given', () => {
    void fc.assert(
      fc.property(configs, (config) => {
        const limits = limitsOf(config);
        expect(Object.keys(limits)).toEqual(limitNames);
        expect(mergeLimits(unlimited, limits)).toEqual(config);
        expect(
          drive(
            Object.fromEntries(Object.entries(limits).map(([name, value]) => [`throttling.${name}`, value])),
          ),
        ).toEqual(config);
      }),
    );
  });

  test('of the commands give back what they were given', () => {
    void fc.assert(
      fc.property(configs, (config) => {
        expect(configFromArguments(shortLimitsOf(config))).toEqual(config);
      }),
    );
  });

  test('of -drive have short names for all but the lengths of bursts', () => {
    const short = {
      iops: 1,
      iops_rd: 2,
      iops_wr: 3,
      bps: 4,
      bps_rd: 5,
      bps_wr: 6,
      iops_max: 7,
      bps_wr_max: 8,
      iops_size: 9,
    };
    expect(drive(short)).toEqual(configFromArguments(short));
    expect(() => withoutAliases({ iops: 1, 'throttling.iops-total': 2 })).toThrow(
      "'throttling.iops-total' and its alias 'iops' can't be used at the same time",
    );
    expect(withoutAliases({ group: 'g', file: 'f' })).toEqual({ 'throttling.group': 'g', file: 'f' });
  });

  test('of a change leave alone what they do not mention', () => {
    void fc.assert(
      fc.property(
        configs,
        fc.constantFrom(...limitNames),
        fc.integer({ min: 1, max: 99 }),
        (config, name, value) => {
          expect(limitsOf(mergeLimits(config, { [name]: value }))).toEqual({
            ...limitsOf(config),
            [name]: value,
          });
        },
      ),
    );
  });

  test('of an object have room for 32 bits of burst length', () => {
    expect(() => mergeLimits(unlimited, { 'iops-read-max-length': 2 ** 32 })).toThrow(
      'iops-read-max-length value must be in the range [0, 4294967295]',
    );
  });
});
