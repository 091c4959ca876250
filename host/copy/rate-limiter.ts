/**
 * The speed limit of a job: slices of 100 ms with a quota each (specification: throttling, section 6).
 *
 * A request is never split and never refused: what goes beyond the quota of a slice makes the slice longer, and the
 * next request waits for its end. So the first request of a job is not delayed at all.
 */
import type { Clock } from '../platform/platform.ts';

const sliceNs = 100_000_000;

export class RateLimiter {
  private quotaBytes = 0;
  private sliceStartNs = 0;
  private sliceEndNs = 0;
  private dispatchedBytes = 0;

  constructor(private readonly clock: Clock) {}

  /** `speed` in bytes per second; 0 means unlimited. */
  setSpeed(speed: number): void {
    this.quotaBytes = speed === 0 ? 0 : Math.max(Math.floor(speed * (sliceNs / 1e9)), 1);
  }

  get isUnlimited(): boolean {
    return this.quotaBytes === 0;
  }

  /** Accounts `bytes` and says how long to wait before the next request, in nanoseconds. */
  delay(bytes: number): number {
    if (this.quotaBytes === 0) return 0;
    const now = this.clock.nowNs();
    if (this.sliceEndNs < now) {
      this.sliceStartNs = now;
      this.sliceEndNs = now + sliceNs;
      this.dispatchedBytes = 0;
    }
    this.dispatchedBytes += bytes;
    if (this.dispatchedBytes < this.quotaBytes) return 0;
    this.sliceEndNs = this.sliceStartNs + Math.trunc((this.dispatchedBytes / this.quotaBytes) * sliceNs);
    return this.sliceEndNs - now;
  }
}
