/**
 * Trying again: how often a request that fails for a passing cause is repeated, and when.
 *
 * The time between attempts doubles up to a bound, and chance shortens it, so that not all who lost one server come back to
 * it at one instant. What counts is time in which nothing came, and none that the computer slept through: no attempt and no
 * pause counts for more than it may last. A server that names a time gets no request before; one that names a time beyond
 * the end is believed, and the failure told at once.
 */
import type { Platform, Random } from '../platform/platform.ts';
import type { PassingFailure } from './responses.ts';

const nsPerSecond = 1e9;
const firstPauseNs = 0.2 * nsPerSecond;
const longestPauseNs = 5 * nsPerSecond;

interface RetryLimits {
  /** Most attempts without any progress, unless the server says that it is busy. */
  attempts: number;
  /** Seconds without any progress after which the failure is told; 0: at once. */
  seconds: number;
  /** Seconds that an attempt lasts at most without a byte. */
  attemptSeconds: number;
}

/** One request's. */
export class Retry {
  private spentNs = 0;
  private failures = 0;
  private sinceNs: number;

  constructor(
    private readonly platform: Pick<Platform, 'clock' | 'random'>,
    private readonly limits: RetryLimits,
  ) {
    this.sinceNs = platform.clock.nowNs();
  }

  /** Something came that need not be asked for again. */
  progressed(): void {
    this.spentNs = 0;
    this.failures = 0;
    this.sinceNs = this.platform.clock.nowNs();
  }

  /** An attempt has failed. Nanoseconds until the next; undefined: there is none. */
  pauseAfter({ isBusy, retryAfter }: PassingFailure): number | undefined {
    const { seconds, attempts, attemptSeconds } = this.limits;
    this.failures++;
    if (this.failures >= attempts && !isBusy) return undefined;
    const lastedNs = this.platform.clock.nowNs() - this.sinceNs;
    this.spentNs += Math.min(lastedNs, attemptSeconds * nsPerSecond);
    const leftNs = seconds * nsPerSecond - this.spentNs;
    const askedNs = retryAfter * nsPerSecond;
    if (leftNs <= 0 || askedNs > leftNs) return undefined;
    const pauseNs = Math.min(leftNs, Math.max(askedNs, jittered(this.platform.random, this.failures)));
    this.spentNs += pauseNs;
    return pauseNs;
  }

  /** The pause is over. */
  begin(): void {
    this.sinceNs = this.platform.clock.nowNs();
  }
}

/** Between half and all of the pause after so many failures. */
function jittered(random: Random, failures: number): number {
  const whole = Math.min(longestPauseNs, firstPauseNs * 2 ** (failures - 1));
  return (whole * (1000 + random.below(1001))) / 2000;
}
