/**
 * What a device has done to its disk: the counters behind `query-blockstats` (specification: graph, section 12).
 *
 * Devices count, jobs do not. A request is opened with `start` and ends as done, failed or invalid. Averages over
 * intervals and latency histograms exist only where they were asked for. Appending to zones is counted as QEMU counts it,
 * and stays at 0: no device has zones.
 */
import { invalid } from '../base/errors.ts';
import type { Clock } from '../platform/platform.ts';

const accountedKinds = ['read', 'write', 'flush', 'unmap', 'zone-append'] as const;
export type AccountedKind = (typeof accountedKinds)[number];

interface Counters {
  bytes: number;
  operations: number;
  failed: number;
  invalid: number;
  merged: number;
  totalTimeNs: number;
}

interface AccountedRequest {
  readonly kind: AccountedKind;
  readonly bytes: number;
  readonly startNs: number;
}

/** A request's latency falls into bin i when it is below boundary i and not below the one before. In nanoseconds. */
export class LatencyHistogram {
  readonly bins: number[];

  /** Throws unless the boundaries are positive and ascending. */
  constructor(readonly boundaries: readonly number[]) {
    let previous = 0;
    for (const boundary of boundaries) {
      if (boundary <= previous) throw invalid('boundaries must be positive and ascending');
      previous = boundary;
    }
    this.bins = new Array<number>(boundaries.length + 1).fill(0);
  }

  count(latencyNs: number): void {
    let bin = this.boundaries.findIndex((boundary) => latencyNs < boundary);
    if (bin < 0) bin = this.boundaries.length;
    this.bins[bin]!++;
  }
}

interface Window {
  /** Latencies of the period, in nanoseconds. */
  minNs: number;
  maxNs: number;
  sumNs: number;
  count: number;
  bytes: number;
}

/** Latencies over the last `seconds`: two windows that overlap by half, so that one always covers half of it at least. */
class IntervalStatistics {
  private readonly windows: Record<AccountedKind, [Window, Window]>;
  private expiresNs: [number, number];

  constructor(
    readonly seconds: number,
    private readonly clock: Clock,
  ) {
    const pair = (): [Window, Window] => [emptyWindow(), emptyWindow()];
    this.windows = { read: pair(), write: pair(), flush: pair(), unmap: pair(), 'zone-append': pair() };
    const now = clock.nowNs();
    this.expiresNs = [now + this.periodNs / 2, now + this.periodNs];
  }

  private get periodNs(): number {
    return this.seconds * 1e9;
  }

  count(kind: AccountedKind, latencyNs: number, bytes: number): void {
    this.expire();
    for (const window of this.windows[kind]) {
      window.minNs = window.count === 0 ? latencyNs : Math.min(window.minNs, latencyNs);
      window.maxNs = Math.max(window.maxNs, latencyNs);
      window.sumNs += latencyNs;
      window.count++;
      window.bytes += bytes;
    }
  }

  query(): object {
    this.expire();
    const oldest = this.expiresNs[0] < this.expiresNs[1] ? 0 : 1;
    const remainingNs = this.expiresNs[oldest]! - this.clock.nowNs(); // there are two of each
    const elapsedNs = Math.max(this.periodNs - remainingNs, 1);
    const of = (kind: AccountedKind): Window => this.windows[kind][oldest]!;
    const latencies = (prefix: string, window: Window): object => ({
      [`min_${prefix}_latency_ns`]: window.minNs,
      [`max_${prefix}_latency_ns`]: window.maxNs,
      [`avg_${prefix}_latency_ns`]: window.count === 0 ? 0 : Math.floor(window.sumNs / window.count),
    });
    return {
      interval_length: this.seconds,
      ...latencies('rd', of('read')),
      ...latencies('wr', of('write')),
      ...latencies('flush', of('flush')),
      ...latencies('zone_append', of('zone-append')),
      avg_rd_queue_depth: of('read').sumNs / elapsedNs,
      avg_wr_queue_depth: of('write').sumNs / elapsedNs,
      avg_zone_append_queue_depth: of('zone-append').sumNs / elapsedNs,
    };
  }

  private expire(): void {
    const now = this.clock.nowNs();
    for (const index of [0, 1] as const) {
      const late = now - this.expiresNs[index];
      if (late < 0) continue;
      this.expiresNs[index] += (Math.floor(late / this.periodNs) + 1) * this.periodNs;
      for (const kind of accountedKinds) this.windows[kind][index] = emptyWindow();
    }
  }
}

function emptyWindow(): Window {
  return { minNs: 0, maxNs: 0, sumNs: 0, count: 0, bytes: 0 };
}

export class BlockStatistics {
  /** Whether requests that the disk refused count for the idle time and the averages. */
  accountInvalid = true;
  accountFailed = true;
  readonly counters: Readonly<Record<AccountedKind, Counters>> = {
    read: emptyCounters(),
    write: emptyCounters(),
    flush: emptyCounters(),
    unmap: emptyCounters(),
    'zone-append': emptyCounters(),
  };
  readonly histograms: Partial<Record<AccountedKind, LatencyHistogram>> = {};
  private readonly intervals: IntervalStatistics[] = [];
  private lastAccessNs: number | undefined;

  constructor(private readonly clock: Clock) {}

  /** Averages over the last `seconds` (> 0) from now on. */
  addInterval(seconds: number): void {
    this.intervals.push(new IntervalStatistics(seconds, this.clock));
  }

  start(kind: AccountedKind, bytes: number): AccountedRequest {
    return { kind, bytes, startNs: this.clock.nowNs() };
  }

  done({ kind, bytes, startNs }: AccountedRequest): void {
    const latencyNs = this.clock.nowNs() - startNs;
    const counters = this.counters[kind];
    counters.bytes += bytes;
    counters.operations++;
    this.measured(kind, latencyNs, bytes);
  }

  failed({ kind, bytes, startNs }: AccountedRequest): void {
    this.counters[kind].failed++;
    if (this.accountFailed) this.measured(kind, this.clock.nowNs() - startNs, bytes);
  }

  /** A request that was refused before it was tried. */
  invalid(kind: AccountedKind): void {
    this.counters[kind].invalid++;
    if (this.accountInvalid) this.lastAccessNs = this.clock.nowNs();
  }

  private measured(kind: AccountedKind, latencyNs: number, bytes: number): void {
    this.counters[kind].totalTimeNs += latencyNs;
    this.lastAccessNs = this.clock.nowNs();
    this.histograms[kind]?.count(latencyNs);
    for (const interval of this.intervals) interval.count(kind, latencyNs, bytes);
  }

  /** BlockDeviceStats. `highestWriteOffset` is the node's. */
  query(highestWriteOffset: number): object {
    const { read, write, flush, unmap } = this.counters;
    return {
      ...described('rd', read),
      ...described('wr', write),
      ...described('unmap', unmap),
      ...described('zone_append', this.counters['zone-append']),
      flush_operations: flush.operations,
      flush_total_time_ns: flush.totalTimeNs,
      failed_flush_operations: flush.failed,
      invalid_flush_operations: flush.invalid,
      wr_highest_offset: highestWriteOffset,
      ...(this.lastAccessNs === undefined ? {} : { idle_time_ns: this.clock.nowNs() - this.lastAccessNs }),
      account_invalid: this.accountInvalid,
      account_failed: this.accountFailed,
      timed_stats: this.intervals.map((interval) => interval.query()),
      ...this.describeHistogram('rd', 'read'),
      ...this.describeHistogram('wr', 'write'),
      ...this.describeHistogram('zone_append', 'zone-append'),
      ...this.describeHistogram('flush', 'flush'),
    };
  }

  private describeHistogram(prefix: string, kind: AccountedKind): object {
    const histogram = this.histograms[kind];
    if (!histogram) return {};
    const { boundaries, bins } = histogram;
    return { [`${prefix}_latency_histogram`]: { boundaries: [...boundaries], bins: [...bins] } };
  }
}

function emptyCounters(): Counters {
  return { bytes: 0, operations: 0, failed: 0, invalid: 0, merged: 0, totalTimeNs: 0 };
}

function described(prefix: string, counters: Counters): object {
  return {
    [`${prefix}_bytes`]: counters.bytes,
    [`${prefix}_operations`]: counters.operations,
    [`${prefix}_merged`]: counters.merged,
    [`${prefix}_total_time_ns`]: counters.totalTimeNs,
    [`failed_${prefix}_operations`]: counters.failed,
    [`invalid_${prefix}_operations`]: counters.invalid,
  };
}
