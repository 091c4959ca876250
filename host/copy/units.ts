/**
 * A disk in units of one size: the clusters of a copy, or what requests to a target are aligned to. The last unit of a
 * disk may be short, and counts as whole.
 */
import { roundDown, roundUp } from '../base/sectors.ts';
import type { Area } from '../core/bitmap.ts';
import { type AskStatus, firstRun } from './status-runs.ts';

export class Units {
  /** In bytes, both. */
  constructor(
    readonly length: number,
    readonly unitBytes: number,
  ) {}

  /** How much of `bytes` from the start of a unit on is whole units. */
  whole(offset: number, bytes: number): number {
    return offset + bytes >= this.length ? this.length - offset : roundDown(bytes, this.unitBytes);
  }

  /** Widened to whole units. */
  widen({ offset, bytes }: Area): Area {
    const start = roundDown(offset, this.unitBytes);
    const end = roundUp(offset + bytes, this.unitBytes);
    return { offset: start, bytes: Math.min(end, this.length) - start };
  }

  /**
   * Of what kind the first units are in a range that starts with one, and how much of it is whole units of that kind.
   * No kind: one unit, with more than one in it. Errors: of I/O.
   */
  async firstOfAKind<S extends { bytes: number }, K>(
    { offset, bytes }: Area,
    ask: AskStatus<S>,
    kindOf: (status: S) => K,
  ): Promise<{ kind: K | undefined; bytes: number }> {
    const run = await firstRun(offset, bytes, ask, (one, next) => kindOf(one) === kindOf(next));
    const whole = this.whole(offset, run.bytes);
    if (whole === 0) return { kind: undefined, bytes: Math.min(this.unitBytes, bytes) };
    return { kind: kindOf(run), bytes: whole };
  }
}
