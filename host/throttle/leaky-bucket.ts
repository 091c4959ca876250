/**
 * The leaky buckets of a group: how much has been used, and how long until there is room again (specification:
 * throttling, section 3).
 *
 * A request is let through while no bucket that it goes into is over its capacity, and then fills it with its full
 * size, however large: the next one waits all the longer. Time is what callers say it is, in nanoseconds.
 */
import {
  type BucketLimits,
  type BucketName,
  bucketNames,
  mapBuckets,
  type ThrottleConfig,
} from './config.ts';

export type Direction = 'read' | 'write';

const nsPerSecond = 1e9;

interface Level {
  level: number;
  /** Against the rate of the burst rather than the average. */
  burstLevel: number;
}

const touched: Record<Direction, readonly BucketName[]> = {
  read: ['bps-total', 'iops-total', 'bps-read', 'iops-read'],
  write: ['bps-total', 'iops-total', 'bps-write', 'iops-write'],
};

export class LeakyBuckets {
  private readonly levels: Record<BucketName, Level> = mapBuckets(() => ({ level: 0, burstLevel: 0 }));
  private previousLeakNs: number;
  private limits: ThrottleConfig;

  constructor(config: ThrottleConfig, nowNs: number) {
    this.limits = config;
    this.previousLeakNs = nowNs;
  }

  get config(): ThrottleConfig {
    return this.limits;
  }

  /** Goes on with other limits and empty buckets. */
  configure(config: ThrottleConfig, nowNs: number): void {
    this.limits = config;
    this.previousLeakNs = nowNs;
    for (const name of bucketNames) this.levels[name] = { level: 0, burstLevel: 0 };
  }

  /** Nanoseconds until a request in this direction may go; 0: now. */
  waitNs(direction: Direction, nowNs: number): number {
    this.leak(nowNs);
    let wait = 0;
    for (const name of touched[direction]) {
      wait = Math.max(wait, waitOf(this.levels[name], this.limits.buckets[name]));
    }
    return wait;
  }

  /** A request has been let through. */
  account(direction: Direction, bytes: number): void {
    const operations = this.operationsOf(bytes);
    for (const name of touched[direction]) {
      const units = name.startsWith('bps') ? bytes : operations;
      this.levels[name].level += units;
      if (this.limits.buckets[name].burstLength > 1) this.levels[name].burstLevel += units;
    }
  }

  private operationsOf(bytes: number): number {
    const { iopsSize } = this.limits;
    return iopsSize > 0 && bytes > iopsSize ? bytes / iopsSize : 1;
  }

  private leak(nowNs: number): void {
    const elapsed = nowNs - this.previousLeakNs;
    this.previousLeakNs = nowNs;
    if (elapsed <= 0) return;
    for (const name of bucketNames) {
      const bucket = this.levels[name];
      const { avg, max, burstLength } = this.limits.buckets[name];
      bucket.level = Math.max(bucket.level - (avg * elapsed) / nsPerSecond, 0);
      if (burstLength > 1) {
        bucket.burstLevel = Math.max(bucket.burstLevel - (max * elapsed) / nsPerSecond, 0);
      }
    }
  }
}

function waitOf({ level, burstLevel }: Level, { avg, max, burstLength }: BucketLimits): number {
  if (avg === 0) return 0;
  const capacity = max === 0 ? avg / 10 : max * burstLength;
  const burstCapacity = max === 0 ? 0 : max / 10;
  if (level > capacity) return Math.trunc(((level - capacity) * nsPerSecond) / avg);
  if (burstLength > 1 && burstLevel > burstCapacity) {
    return Math.trunc(((burstLevel - burstCapacity) * nsPerSecond) / max);
  }
  return 0;
}
