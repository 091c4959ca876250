/**
 * Where guests' writes had to wait for old data to be saved, and how often: what is copied there next spares them most.
 *
 * Counts are for regions of one size, as many as there is room for; when there are more, all counts are halved and those
 * of the least written regions forgotten.
 */
import type { Area } from '../core/bitmap.ts';

const maxRegions = 4096;

export class HotRegions {
  private readonly counts = new Map<number, number>();

  constructor(private readonly regionBytes: number) {}

  note(offset: number): void {
    const region = Math.floor(offset / this.regionBytes);
    const count = this.counts.get(region);
    if (count === undefined && this.counts.size >= maxRegions) this.fade();
    this.counts.set(region, (count ?? 0) + 1);
  }

  /** The region with most writes, which is taken out. */
  take(): Area | undefined {
    let hottest: number | undefined;
    let most = 0;
    for (const [region, count] of this.counts) {
      if (count <= most) continue;
      most = count;
      hottest = region;
    }
    if (hottest === undefined) return undefined;
    this.counts.delete(hottest);
    return { offset: hottest * this.regionBytes, bytes: this.regionBytes };
  }

  private fade(): void {
    while (this.counts.size >= maxRegions) {
      for (const [region, count] of this.counts) {
        if (count > 1) this.counts.set(region, count >> 1);
        else this.counts.delete(region);
      }
    }
  }
}
