/**
 * Keeps the event loop turning for a moment after a peer was written to, for it may answer at once: a process that sleeps is
 * woken later than one that looks by itself, by more than all the rest of a small request takes.
 *
 * Everything else has its turn meanwhile. A peer that takes longer has the loop sleep as ever; the more often that happens in
 * a row, the less often it is tried again. Where there is one processor, it is the peer's.
 */

/** How long a peer is waited for. */
const momentMs = 0.05;
/** Of the times that a peer is written to, so many are left out after a failure, and at most so many. */
const firstPause = 1;
const longestPause = 256;

interface Loop {
  /** Calls when everything else has had its turn. */
  readonly afterOthers: (callback: () => void) => void;
  readonly nowMs: () => number;
  readonly processors: () => number;
}

export class Wakefulness {
  private untilMs = 0;
  private isTurning = false;
  /** Nobody has answered since. */
  private isAwaiting = false;
  private pause = firstPause;
  private leftOut = 0;
  private processors: number | undefined;

  constructor(private readonly loop: Loop) {}

  /** A peer was written to. */
  wrote(): void {
    this.processors ??= this.loop.processors();
    if (this.processors < 2 || this.leftOut-- > 0) return;
    this.isAwaiting = true;
    this.untilMs = this.loop.nowMs() + momentMs;
    if (this.isTurning) return;
    this.isTurning = true;
    this.loop.afterOthers(this.turn);
  }

  /** A peer has answered. */
  heard(): void {
    if (!this.isAwaiting) return;
    this.isAwaiting = false;
    this.pause = firstPause;
  }

  private readonly turn = (): void => {
    if (this.isAwaiting && this.loop.nowMs() < this.untilMs) {
      this.loop.afterOthers(this.turn);
      return;
    }
    this.isTurning = false;
    if (!this.isAwaiting) return;
    this.isAwaiting = false;
    this.leftOut = this.pause;
    this.pause = Math.min(2 * this.pause, longestPause);
  };
}

export const wakefulness: Wakefulness = new Wakefulness({
  afterOthers: setImmediate,
  nowMs: () => performance.now(),
  processors: () => process.getBuiltinModule('node:os').availableParallelism(),
});
