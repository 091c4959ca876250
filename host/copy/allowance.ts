/**
 * What copies in bulk may take of the machine beside guests.
 *
 * | guests        | a turn of work | pause after it                    | in flight, of each copy |
 * | ------------- | -------------- | --------------------------------- | ----------------------- |
 * | rest          | 2 ms           | for what is ready                 | no limit                |
 * | make requests | 0.2 ms         | the same, and when they suffer longer: up to 4 ms | 256 KiB to 16 MiB |
 *
 * Guests that come find the least in flight. It grows while they do not suffer, a step in 200 ms, and falls by two steps when
 * they do; then the next step takes four times as long, until guests have rested. So guests that suffer from something else,
 * whatever it is, leave a copy a twentieth of the time, and the least in flight.
 */
import { type Pace, quickPace } from '../platform/pacer.ts';

/** As long as a guest's request may wait without suffering: with what is in flight, less than half a millisecond. */
const shortTurnNs = 200_000;
const firstPauseNs = 250_000;
const maxPauseNs = 4_000_000;
export const minAllowedBytes = 256 << 10;
export const maxAllowedBytes = 16 << 20;
/** In windows of guest-watch.ts. */
const firstPatience = 8;
const maxPatience = 512;

export class Allowance implements Pace {
  turnNs = quickPace.turnNs;
  pauseNs = 0;
  /** That a copy may have in flight; Infinity: as many as it likes. */
  bytes = Number.POSITIVE_INFINITY;
  /** Windows in which guests must do well before there may be more in flight. */
  private patience = firstPatience;
  private calmWindows = 0;

  guestsCame(): void {
    this.turnNs = shortTurnNs;
    this.bytes = minAllowedBytes;
  }

  guestsRest(): void {
    this.turnNs = quickPace.turnNs;
    this.pauseNs = 0;
    this.bytes = Number.POSITIVE_INFINITY;
    this.patience = firstPatience;
    this.calmWindows = 0;
  }

  /** For one window. */
  guestsSuffer(): void {
    this.pauseNs = Math.min(maxPauseNs, this.pauseNs * 2 || firstPauseNs);
    this.calmWindows = 0;
    if (this.bytes === minAllowedBytes) return;
    this.bytes = Math.max(minAllowedBytes, this.bytes / 4);
    this.patience = Math.min(maxPatience, this.patience * 4);
  }

  /** For one window. */
  guestsDoWell(): void {
    if (this.pauseNs > 0) {
      this.pauseNs = this.pauseNs <= firstPauseNs ? 0 : this.pauseNs / 2;
    } else if (++this.calmWindows >= this.patience) {
      this.calmWindows = 0;
      this.bytes = Math.min(maxAllowedBytes, this.bytes * 2);
    }
  }
}
