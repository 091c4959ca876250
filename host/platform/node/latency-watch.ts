/**
 * Decides whether a small request may block the thread, from how long the last ones took.
 *
 * From the page cache a request takes microseconds and blocking is by far the cheapest way; from a disk it takes long
 * enough to overlap with others in the thread pool. A moving average tells them apart: when it says *slow*, requests
 * go to the pool for a while, then one is tried in place again, and each failed try doubles the while. One long sample
 * alone (the process was preempted) does not count as slow.
 */

/** Above this average the pool, at 5 to 60 µs per request, is cheaper than waiting. */
const slowMs = 0.1;
/** Samples count at most this much, so that it takes two to be slow. */
const longestSampleMs = 0.5;
const weight = 1 / 8;
/** Below this average nothing points to a slow disk. */
const calmMs = slowMs / 4;
/** Larger requests are timed, each of them. */
const sampledBytes = 32 << 10;
/** What copying takes at most does not count: 2.5 GiB in a second. */
const copyMsPerByte = 0.1 / (256 << 10);
const firstPauseMs = 20;
const longestPauseMs = 640;

export class LatencyWatch {
  private averageMs = 0;
  private requests = 0;
  private pauseMs = firstPauseMs;
  /** Requests go to the pool until then; 0 while they do not. */
  private pausedUntilMs = 0;

  /**
   * Whether this request is one to be timed. While requests finish far from being slow, one in four of the small ones is: looking at
   * the clock twice costs a tenth of a read from the page cache.
   */
  isTimed(bytes: number): boolean {
    if (bytes > sampledBytes) return true;
    return this.pausedUntilMs !== 0 || this.averageMs > calmMs || (++this.requests & 3) === 0;
  }

  /** Whether a request may be made in place now. */
  mayBlock(nowMs: number): boolean {
    return nowMs >= this.pausedUntilMs;
  }

  /** Takes note of a request of so many bytes that was made in place. */
  record(startMs: number, endMs: number, bytes: number): void {
    const tookMs = Math.max(0, endMs - startMs - bytes * copyMsPerByte);
    if (this.pausedUntilMs !== 0) {
      this.judgeTrial(tookMs, endMs);
      return;
    }
    const sample = tookMs < longestSampleMs ? tookMs : longestSampleMs;
    this.averageMs += (sample - this.averageMs) * weight;
    if (this.averageMs > slowMs) this.pausedUntilMs = endMs + this.pauseMs;
  }

  private judgeTrial(tookMs: number, endMs: number): void {
    if (tookMs > slowMs) {
      this.pauseMs = Math.min(this.pauseMs * 2, longestPauseMs);
      this.pausedUntilMs = endMs + this.pauseMs;
      return;
    }
    this.averageMs = tookMs;
    this.pauseMs = firstPauseMs;
    this.pausedUntilMs = 0;
  }
}
