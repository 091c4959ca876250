/**
 * How long a copy waits before it tries again what has failed, when errors are ignored: a target that fails at once would otherwise be
 * asked without end, and nothing else would be done. Longer each time, until something has been copied meanwhile.
 */
const shortestNs = 1_000_000;
const longestNs = 100_000_000;

export class RetryPause {
  private pauseNs = shortestNs;
  private lastProgress: number | undefined;

  /** Nanoseconds. `progress`: what grows when something has been copied. */
  nextNs(progress: number): number {
    const isStuck = progress === this.lastProgress;
    this.pauseNs = isStuck ? Math.min(longestNs, 2 * this.pauseNs) : shortestNs;
    this.lastProgress = progress;
    return this.pauseNs;
  }
}
