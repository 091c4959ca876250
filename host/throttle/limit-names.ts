/**
 * The three ways in which users write down limits, and the way from each to a configuration (specification: throttling,
 * section 1).
 *
 * | where                          | long-term rate                            | rate, length of a burst           |
 * | ------------------------------ | ----------------------------------------- | --------------------------------- |
 * | `-drive`                       | `throttling.bps-total`, for short `bps`   | `….bps-total-max`, `…-max-length` |
 * | `block_set_io_throttle`, `query-block` | `bps`, `bps_rd`, `bps_wr`         | `bps_max`, `bps_max_length`       |
 * | `limits` of `throttle-group`   | `bps-total`, `bps-read`, `bps-write`      | `bps-total-max`, `…-max-length`   |
 *
 * Nothing here says whether a configuration makes sense: that is `validate` (config.ts).
 */
import { invalid } from '../base/errors.ts';
import { type IntType, int, type Optional, optional, struct } from '../qapi/types.ts';
import { type BucketName, mapBuckets, type ThrottleConfig, unlimited } from './config.ts';

type Numbers = Readonly<Record<string, number | undefined>>;

/** As QAPI lists the members of ThrottleLimits. */
const limitsOrder: readonly BucketName[] = [
  'iops-total',
  'iops-read',
  'iops-write',
  'bps-total',
  'bps-read',
  'bps-write',
];

/** The names of all 19 limits, in the order of QAPI. */
export const limitNames: readonly string[] = [
  ...limitsOrder.flatMap((name) => [name, `${name}-max`, `${name}-max-length`]),
  'iops-size',
];

export const throttleLimitsType = struct('ThrottleLimits', optionalInts(limitNames));

export function optionalInts(names: readonly string[]): Record<string, Optional<IntType>> {
  return Object.fromEntries(names.map((name) => [name, optional(int)]));
}

const shortNames: Record<BucketName, string> = {
  'bps-total': 'bps',
  'bps-read': 'bps_rd',
  'bps-write': 'bps_wr',
  'iops-total': 'iops',
  'iops-read': 'iops_rd',
  'iops-write': 'iops_wr',
};

/** `current` with what `limits` says put in its place. Errors: a length that is too long. */
export function mergeLimits(current: ThrottleConfig, limits: Numbers): ThrottleConfig {
  for (const name of limitsOrder) checkLength(`${name}-max-length`, limits[`${name}-max-length`]);
  return {
    buckets: mapBuckets((name) => {
      const { avg, max, burstLength } = current.buckets[name];
      const length = limits[`${name}-max-length`];
      return {
        avg: limits[name] ?? avg,
        max: limits[`${name}-max`] ?? max,
        burstLength: length === undefined ? burstLength : Number(BigInt.asUintN(32, BigInt(length))),
      };
    }),
    iopsSize: limits['iops-size'] ?? current.iopsSize,
  };
}

function checkLength(name: string, length: number | undefined): void {
  if (length !== undefined && length > 0xffff_ffff) {
    throw invalid(`${name} value must be in the range [0, 4294967295]`);
  }
}

/** All 19 of them. */
export function limitsOf({ buckets, iopsSize }: ThrottleConfig): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const name of limitsOrder) {
    const { avg, max, burstLength } = buckets[name];
    limits[name] = avg;
    limits[`${name}-max`] = max;
    limits[`${name}-max-length`] = burstLength;
  }
  return { ...limits, 'iops-size': iopsSize };
}

/** From the arguments of block_set_io_throttle. */
export function configFromArguments(given: Numbers): ThrottleConfig {
  return {
    buckets: mapBuckets((name) => {
      const short = shortNames[name];
      return {
        avg: given[short] ?? 0,
        max: given[`${short}_max`] ?? 0,
        burstLength: given[`${short}_max_length`] ?? 1,
      };
    }),
    iopsSize: given['iops_size'] ?? 0,
  };
}

/** What query-block tells: rates always, the rest where it says something. */
export function shortLimitsOf({ buckets, iopsSize }: ThrottleConfig): Record<string, number> {
  const shown: Record<string, number> = {};
  for (const [name, short] of Object.entries(shortNames)) {
    const { avg, max, burstLength } = buckets[name as BucketName];
    shown[short] = avg;
    if (max === 0) continue;
    shown[`${short}_max`] = max;
    shown[`${short}_max_length`] = burstLength;
  }
  if (iopsSize !== 0) shown['iops_size'] = iopsSize;
  return shown;
}

/** Short names of `-drive` and what they stand for; the lengths of bursts have none. */
const driveAliases: Readonly<Record<string, string>> = Object.fromEntries([
  ...limitsOrder.map((name) => [shortNames[name], `throttling.${name}`]),
  ...limitsOrder.map((name) => [`${shortNames[name]}_max`, `throttling.${name}-max`]),
  ['iops_size', 'throttling.iops-size'],
  ['group', 'throttling.group'],
]);

/** The options of `-drive` that are about throttling, short names included. All but the groups are numbers. */
export const driveThrottleOptions: readonly string[] = [
  ...Object.keys(driveAliases),
  ...limitNames.map((name) => `throttling.${name}`),
  'throttling.group',
];

/** Puts the long name for each short one. Errors: both are there. */
export function withoutAliases<T>(options: Readonly<Record<string, T>>): Record<string, T> {
  const result: Record<string, T> = { ...options };
  for (const [alias, name] of Object.entries(driveAliases)) {
    if (!Object.hasOwn(options, alias)) continue;
    if (Object.hasOwn(options, name)) {
      throw invalid(`'${name}' and its alias '${alias}' can't be used at the same time`);
    }
    result[name] = options[alias]!; // it has it
    delete result[alias];
  }
  return result;
}

/** From the options of `-drive`, after `withoutAliases` and turned into numbers. */
export function configFromDrive(given: Numbers): ThrottleConfig {
  const { buckets, iopsSize } = unlimited;
  const value = (name: string): number | undefined => given[`throttling.${name}`];
  return {
    buckets: mapBuckets((name) => ({
      avg: value(name) ?? buckets[name].avg,
      max: value(`${name}-max`) ?? buckets[name].max,
      burstLength: value(`${name}-max-length`) ?? buckets[name].burstLength,
    })),
    iopsSize: value('iops-size') ?? iopsSize,
  };
}
