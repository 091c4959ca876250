/**
 * The longest that a request of the guest has taken since it was begun to be watched: by the latency histograms of its devices,
 * so it is known up to the limit of a bin.
 */
import type { Monitor, StatsInfo } from './answers.ts';

/** Upper limits of the bins, in milliseconds. */
const limitsMs = [
  1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 2000, 5000, 10_000, 60_000,
];

/** `devices`: ids. Counts from now on. Errors: there is no such device. */
export async function watchWaits(monitor: Pick<Monitor, 'qmp'>, devices: readonly string[]): Promise<void> {
  const boundaries = limitsMs.map((ms) => ms * 1_000_000);
  for (const id of devices) await monitor.qmp('block-latency-histogram-set', { id, boundaries });
}

/**
 * No request took longer than so many milliseconds; undefined: one took longer than any limit. Ends the watching.
 */
export async function longestWaitMs(
  monitor: Pick<Monitor, 'qmp'>,
  devices: readonly string[],
): Promise<number | undefined> {
  const stats = (await monitor.qmp('query-blockstats')) as StatsInfo[];
  for (const id of devices) await monitor.qmp('block-latency-histogram-set', { id });
  const highest = stats
    .filter(({ device, qdev }) => devices.includes(qdev ?? device))
    .flatMap(({ stats }) => [
      stats.rd_latency_histogram,
      stats.wr_latency_histogram,
      stats.flush_latency_histogram,
    ])
    .map((histogram) => histogram?.bins.findLastIndex((count) => count > 0) ?? -1);
  return limitsMs[Math.max(0, ...highest)];
}
