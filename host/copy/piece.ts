/**
 * Old data on its way to the target: where it belongs, and where it is meanwhile: in memory, in a spill file, or, for
 * zeros, nowhere.
 */
import type { SpillSlots } from './spill-file.ts';

export class Piece {
  /** Longer than `bytes` when it came from a pool. */
  buffer: Uint8Array | undefined;
  spilled: SpillSlots | undefined;
  /** What it takes of the limit of a save buffer now. */
  roomBytes = 0;
  /** Told when nobody needs it any more. */
  onGone: (() => void) | undefined;

  /** Without a buffer: zeros. `isPart`: less than a cluster, which is to be completed before the target gets it. */
  constructor(
    readonly offset: number,
    readonly bytes: number,
    buffer: Uint8Array | undefined,
    readonly isPart = false,
  ) {
    this.buffer = buffer;
  }

  get end(): number {
    return this.offset + this.bytes;
  }

  get isZero(): boolean {
    return !this.buffer && !this.spilled;
  }

  /**
   * Fills `into` with what belongs at `offset`, a place within the piece up to whose end `into` reaches at most. Undefined:
   * it was done at once. Errors: of the spill file.
   */
  copyTo(offset: number, into: Uint8Array): Promise<void> | undefined {
    const start = offset - this.offset;
    if (this.spilled) return this.spilled.load(start, into);
    if (this.buffer) into.set(this.buffer.subarray(start, start + into.length));
    else into.fill(0);
    return undefined;
  }
}
