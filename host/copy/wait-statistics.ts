/**
 * How long guests have waited: a count, the longest wait, and quantiles from a histogram of eight classes to each
 * power of two. Its size does not depend on how many waits there were.
 */

/** Classes to each power of two. */
const steps = 8;
/** Waits of 2^40 ns, eighteen minutes, and more share the last class. */
const classCount = 40 * steps;

export class WaitStatistics {
  count = 0;
  longestNs = 0;
  private readonly classes = new Float64Array(classCount);

  record(ns: number): void {
    this.count++;
    this.longestNs = Math.max(this.longestNs, ns);
    const index = ns < 1 ? 0 : Math.floor(Math.log2(ns) * steps);
    this.classes[Math.min(index, classCount - 1)]! += 1; // an index ≥ 0 below the length
  }

  /** A wait that `share` (0 to 1) of all did not exceed, a tenth too long at most. 0 when nobody has waited. */
  quantileNs(share: number): number {
    const wanted = Math.ceil(this.count * share);
    let seen = 0;
    for (const [index, count] of this.classes.entries()) {
      seen += count;
      if (seen >= wanted && seen > 0) return Math.min(this.longestNs, Math.ceil(2 ** ((index + 1) / steps)));
    }
    return 0;
  }
}
