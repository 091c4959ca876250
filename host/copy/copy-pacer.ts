/**
 * How all copies of a program keep up with each other and with its guests: when each is to let others go first, and how much it may
 * have in flight (specification: jobs, section 11).
 */
import { AttachmentKey } from '../base/attachments.ts';
import { roundDown } from '../base/sectors.ts';
import type { GuestLatency } from '../block/guest-latency.ts';
import { Pacer } from '../platform/pacer.ts';
import type { Clock, Platform } from '../platform/platform.ts';
import { Allowance } from './allowance.ts';
import { GuestWatch } from './guest-watch.ts';
import type { Traffic } from './traffic.ts';

/** Several are in flight, so that reading and writing overlap. */
const piecesInFlight = 4;

export class CopyPacer {
  private readonly allowance = new Allowance();
  private readonly watch: GuestWatch;
  private readonly pacer: Pacer;

  constructor(clock: Clock, guests: GuestLatency) {
    this.watch = new GuestWatch(clock, this.allowance);
    this.pacer = new Pacer(clock, this.allowance);
    guests.watch = this.watch;
  }

  /**
   * To be called on each round. Settles when others have had their turn, or earlier when `traffic` is woken: whoever wants the copy at
   * a pause point does not wait for the end of a pause. Undefined: it is not yet time for that.
   */
  breathe(traffic?: Traffic): Promise<void> | undefined {
    this.watch.look();
    const breath = this.pacer.breathe();
    return breath && traffic ? Promise.race([breath, traffic.whenChanged()]) : breath;
  }

  /** What a copy may have in flight that has asked for `most` bytes. */
  inFlightBytes(most: number): number {
    return Math.min(most, this.allowance.bytes);
  }

  /** How long its requests for data may be: at most `most`, whole units, one at least. */
  pieceBytes(most: number, unitBytes = 1): number {
    return Math.max(unitBytes, roundDown(Math.min(most, this.allowance.bytes / piecesInFlight), unitBytes));
  }
}

/** The pacer of these guests, once somebody copies beside them. */
const slotKey = new AttachmentKey((_: GuestLatency): { pacer?: CopyPacer } => ({}));

/** The one of everybody who copies beside these guests. */
export function copyPacerOf({ guests, platform }: { guests: GuestLatency; platform: Platform }): CopyPacer {
  const slot = guests.attachments.get(slotKey);
  slot.pacer ??= new CopyPacer(platform.clock, guests);
  return slot.pacer;
}
