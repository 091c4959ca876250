/**
 * Which ranges somebody is copying just now. Claims are disjoint; whoever finds one in the way waits for its end and
 * looks again.
 */
import { assert } from '../base/assert.ts';
import { createDeferred, type Deferred } from '../base/deferred.ts';

export interface Claim {
  readonly offset: number;
  readonly bytes: number;
}

interface HeldClaim {
  offset: number;
  bytes: number;
  readonly ended: Deferred<void>;
}

export class Claims {
  private readonly held = new Set<HeldClaim>();

  get isEmpty(): boolean {
    return this.held.size === 0;
  }

  /** All of them together. */
  get bytes(): number {
    let total = 0;
    for (const claim of this.held) total += claim.bytes;
    return total;
  }

  /** How many bytes of the range are free from its start on. */
  freeBytes(offset: number, bytes: number): number {
    let free = bytes;
    for (const claim of this.held) {
      if (claim.offset < offset + free && offset < claim.offset + claim.bytes) {
        free = Math.max(0, claim.offset - offset);
      }
    }
    return free;
  }

  /** Settles when there is a chance that the range is free. */
  async whenFree(offset: number, bytes: number): Promise<void> {
    await this.firstIn(offset, bytes)?.ended.promise;
  }

  /** The range must be free. */
  begin(offset: number, bytes: number): Claim {
    assert(this.freeBytes(offset, bytes) === bytes, `range at ${offset} claimed twice`);
    const claim = { offset, bytes, ended: createDeferred() };
    this.held.add(claim);
    return claim;
  }

  /** Gives back what lies behind the first `bytes`. */
  shorten(claim: Claim, bytes: number): void {
    (claim as HeldClaim).bytes = bytes;
  }

  end(claim: Claim): void {
    const held = claim as HeldClaim;
    this.held.delete(held);
    held.ended.resolve();
  }

  private firstIn(offset: number, bytes: number): HeldClaim | undefined {
    for (const claim of this.held) {
      if (claim.offset < offset + bytes && offset < claim.offset + claim.bytes) return claim;
    }
    return undefined;
  }
}
