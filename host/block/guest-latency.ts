/**
 * How long guests' requests take while somebody copies in bulk, and how long that should stand back for it.
 *
 * Only the time in which a bulk copier asks is measured: otherwise a request costs one comparison. Time is looked at in
 * windows. A request is slow when it takes more than a millisecond and more than four times what requests take at their
 * best; a window in which one in twenty is slow doubles the pauses of copies (platform/pacer.ts), any other one halves them.
 * So a guest that is slowed down by something else, whatever it is, slows a copy down to 2 ms of work each `maxPauseNs` and no
 * more.
 */
import type { Clock } from '../platform/platform.ts';

const windowNs = 25_000_000;
const slowNs = 1_000_000;
/** Times the baseline. */
const slowFactor = 4;
const slowShare = 0.05;
const firstPauseNs = 250_000;
const maxPauseNs = 20_000_000;
/** How fast the baseline follows guests that have become slower, in each window. */
const baselineRise = 1.02;
/** Nobody has asked for so long: nobody is copying. */
const unwatchedNs = 1_000_000_000;

/** In place of the start of a request that is not measured. */
export const unmeasured = -1;

export class GuestLatency {
  private isWatched = false;
  private askedNs = 0;
  private windowStartNs = 0;
  private requests = 0;
  private slowRequests = 0;
  private sumNs = 0;
  private inFlight = 0;
  private baselineNs = Number.POSITIVE_INFINITY;
  private currentPauseNs = 0;

  constructor(private readonly clock: Clock) {}

  /** A guest's request begins. Given back: what `end` wants. */
  begin(): number {
    if (!this.isWatched) return unmeasured;
    this.inFlight++;
    return this.clock.nowNs();
  }

  end(startNs: number): void {
    if (startNs === unmeasured) return;
    this.inFlight--;
    const nowNs = this.clock.nowNs();
    const latencyNs = nowNs - startNs;
    this.requests++;
    this.sumNs += latencyNs;
    if (latencyNs > Math.max(slowNs, slowFactor * this.baselineNs)) this.slowRequests++;
    if (nowNs - this.askedNs > unwatchedNs) this.isWatched = false;
  }

  /** How long the next pause of a copy is to be, in nanoseconds. */
  pauseNs(): number {
    const nowNs = this.clock.nowNs();
    this.askedNs = nowNs;
    if (!this.isWatched) {
      this.isWatched = true;
      this.beginWindow(nowNs);
    } else if (nowNs - this.windowStartNs >= windowNs) {
      this.judge();
      this.beginWindow(nowNs);
    }
    return this.currentPauseNs;
  }

  private judge(): void {
    const { requests, slowRequests, sumNs, inFlight, currentPauseNs } = this;
    // A request that has been under way for the whole window is slow, too.
    const isSlow = requests > 0 ? slowRequests > requests * slowShare : inFlight > 0;
    if (requests > 0) this.baselineNs = Math.min(sumNs / requests, this.baselineNs * baselineRise);
    if (isSlow) this.currentPauseNs = Math.min(maxPauseNs, currentPauseNs * 2 || firstPauseNs);
    else this.currentPauseNs = currentPauseNs <= firstPauseNs ? 0 : currentPauseNs / 2;
  }

  private beginWindow(nowNs: number): void {
    this.windowStartNs = nowNs;
    this.requests = this.slowRequests = this.sumNs = 0;
  }
}
