/**
 * Whether guests suffer while somebody copies in bulk: how long their requests take, by which their allowance goes (allowance.ts).
 *
 * Only the time in which a copy asks is measured. It is looked at in windows. A request is slow when it takes more than half a
 * millisecond and more than four times what requests take at their best; guests suffer in a window with several that are slow,
 * if that is more than one in a hundred, or in which none has ended.
 */
import { unmeasured } from '../block/guest-latency.ts';
import type { Clock } from '../platform/platform.ts';
import type { Allowance } from './allowance.ts';

const windowNs = 25_000_000;
const slowNs = 500_000;
/** Times the baseline. */
const slowFactor = 4;
/** One alone says nothing. */
const fewSlow = 1;
const slowShare = 0.01;
/** How fast the baseline follows guests that have become slower, in each window. */
const baselineRise = 1.02;
/** Windows without a request after which guests rest. */
const restWindows = 4;
/** Nobody has asked for so long: nobody is copying. */
const unwatchedNs = 1_000_000_000;

export class GuestWatch {
  private isWatched = false;
  private areActive = false;
  private askedNs = 0;
  private windowStartNs = 0;
  private requests = 0;
  private slowRequests = 0;
  private sumNs = 0;
  private inFlight = 0;
  private emptyWindows = 0;
  private baselineNs = Number.POSITIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly allowance: Allowance,
  ) {}

  /** A guest's request begins. Given back: what `end` wants. */
  begin(): number {
    if (!this.isWatched) return unmeasured;
    this.inFlight++;
    if (!this.areActive) {
      this.areActive = true;
      this.emptyWindows = 0;
      this.allowance.guestsCame();
    }
    return this.clock.nowNs();
  }

  /** Of one that was measured. */
  end(startNs: number): void {
    this.inFlight--;
    const nowNs = this.clock.nowNs();
    const latencyNs = nowNs - startNs;
    this.requests++;
    this.sumNs += latencyNs;
    if (latencyNs > Math.max(slowNs, slowFactor * this.baselineNs)) this.slowRequests++;
    if (nowNs - this.askedNs > unwatchedNs) this.isWatched = false;
  }

  /** A copy wants to know: the allowance is as it should be now. */
  look(): void {
    const nowNs = this.clock.nowNs();
    this.askedNs = nowNs;
    if (!this.isWatched) {
      this.isWatched = true;
      this.rest();
    } else if (nowNs - this.windowStartNs >= windowNs) {
      this.judge();
    } else {
      return;
    }
    this.windowStartNs = nowNs;
    this.requests = this.slowRequests = this.sumNs = 0;
  }

  private judge(): void {
    const { requests, slowRequests, sumNs, inFlight, allowance, areActive } = this;
    if (!areActive) return;
    if (requests === 0 && inFlight === 0) {
      if (++this.emptyWindows >= restWindows) this.rest();
      return;
    }
    this.emptyWindows = 0;
    const isSlow = requests > 0 ? slowRequests > Math.max(fewSlow, requests * slowShare) : true;
    if (requests > 0) this.baselineNs = Math.min(sumNs / requests, this.baselineNs * baselineRise);
    if (isSlow) allowance.guestsSuffer();
    else allowance.guestsDoWell();
  }

  private rest(): void {
    this.areActive = false;
    this.allowance.guestsRest();
  }
}
