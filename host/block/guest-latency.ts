/**
 * Where it is told how long guests' requests take, to whoever copies in bulk and wants to know (copy/guest-watch.ts). While nobody
 * does, a request costs one comparison.
 */
import { Attachments } from '../base/attachments.ts';

/** In place of the start of a request that is not measured. */
export const unmeasured = -1;

interface LatencyWatch {
  /** A guest's request begins. Given back: what `end` wants, or `unmeasured`. */
  begin(): number;
  /** Of each that was measured. */
  end(startNs: number): void;
}

export class GuestLatency {
  /** Once there is one it stays. */
  watch: LatencyWatch | undefined;
  readonly attachments = new Attachments<GuestLatency>(this);

  begin(): number {
    return this.watch ? this.watch.begin() : unmeasured;
  }

  end(startNs: number): void {
    if (startNs !== unmeasured) this.watch!.end(startNs); // it has begun it
  }
}
