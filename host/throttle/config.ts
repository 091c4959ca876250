/**
 * What a throttle group keeps to: six buckets and the size of an operation (specification: throttling, sections 1
 * and 2).
 *
 * A configuration is a value: it is never changed, only replaced. The three ways in which users write it down are in
 * limit-names.ts.
 */
import { type BlockError, invalid } from '../base/errors.ts';

/** In the order in which they are checked. */
export const bucketNames = [
  'bps-total',
  'bps-read',
  'bps-write',
  'iops-total',
  'iops-read',
  'iops-write',
] as const;

export type BucketName = (typeof bucketNames)[number];

export interface BucketLimits {
  /** Units (bytes or operations) per second in the long run; 0: no limit. */
  readonly avg: number;
  /** Units per second during a burst; 0: no bursts beyond a tenth of a second's worth. */
  readonly max: number;
  /** Seconds that a burst may last; ≥ 1. */
  readonly burstLength: number;
}

export interface ThrottleConfig {
  readonly buckets: Readonly<Record<BucketName, BucketLimits>>;
  /** Bytes from which on a request counts as more than one operation; 0: never. */
  readonly iopsSize: number;
}

export const noBucketLimits: BucketLimits = { avg: 0, max: 0, burstLength: 1 };

export function mapBuckets<T>(make: (name: BucketName) => T): Record<BucketName, T> {
  return Object.fromEntries(bucketNames.map((name) => [name, make(name)])) as Record<BucketName, T>;
}

export const unlimited: ThrottleConfig = { buckets: mapBuckets(() => noBucketLimits), iopsSize: 0 };

/** Whether it limits anything. */
export function isEnabled({ buckets }: ThrottleConfig): boolean {
  return bucketNames.some((name) => buckets[name].avg > 0);
}

const maxValue = 1e15;

/** Throws the first thing that is wrong with it. Values may be negative: they are out of range then. */
export function validate({ buckets, iopsSize }: ThrottleConfig): void {
  for (const field of ['avg', 'max'] as const) {
    for (const unit of ['bps', 'iops'] as const) {
      const total = buckets[`${unit}-total`][field];
      if (total !== 0 && (buckets[`${unit}-read`][field] !== 0 || buckets[`${unit}-write`][field] !== 0)) {
        throw invalid('bps/iops/max total values and read/write values cannot be used at the same time');
      }
    }
  }
  const limitsIops = bucketNames.some((name) => name.startsWith('iops') && buckets[name].avg !== 0);
  if (iopsSize !== 0 && !limitsIops) throw invalid('iops size requires an iops value to be set');
  for (const name of bucketNames) {
    const mistake = mistakeIn(buckets[name]);
    if (mistake) throw mistake;
  }
}

function mistakeIn({ avg, max, burstLength }: BucketLimits): BlockError | undefined {
  if (!(avg >= 0 && avg <= maxValue && max >= 0 && max <= maxValue)) {
    return invalid(`bps/iops/max values must be within [0, ${maxValue}]`);
  }
  if (burstLength === 0) return invalid('the burst length cannot be 0');
  // In QEMU the length is unsigned: a negative one is huge.
  const isHuge = burstLength < 0;
  if ((burstLength > 1 || isHuge) && max === 0) return invalid('burst length set without burst rate');
  if (max !== 0 && (isHuge || burstLength > Math.floor(maxValue / max))) {
    return invalid('burst length too high for this burst rate');
  }
  if (max !== 0 && avg === 0) return invalid('bps_max/iops_max require corresponding bps/iops values');
  if (max !== 0 && max < avg) return invalid('bps_max/iops_max cannot be lower than bps/iops');
  return undefined;
}
