/** Shared locks on single bytes of one file, among those who have it open in this worker. */
import type { ByteLocks } from '../platform.ts';

export class ByteLockTable {
  private readonly holders = new Map<number, Set<object>>();

  /** The locks that `owner` has and sees. */
  of(owner: object): ByteLocks {
    const { holders } = this;
    return {
      lockShared(offset) {
        const set = holders.get(offset) ?? new Set();
        holders.set(offset, set.add(owner));
      },
      unlock: (offset) => void holders.get(offset)?.delete(owner),
      isHeldByOther(offset) {
        const set = holders.get(offset);
        return set !== undefined && set.size > (set.has(owner) ? 1 : 0);
      },
    };
  }

  releaseAll(owner: object): void {
    for (const set of this.holders.values()) set.delete(owner);
  }
}
