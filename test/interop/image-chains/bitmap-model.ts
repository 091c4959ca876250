/**
 * A dirty bitmap of an image as a set of granules: what it must have, and whether it may have more. Some commands write
 * where nothing changes (commit, rebase), and how much they write is theirs to choose.
 */
export class BitmapModel {
  isEnabled = true;
  /** Granules by number. */
  readonly dirty = new Set<number>();
  /** It has these and no others. */
  isExact = true;

  constructor(readonly granularity: number) {}

  mark(offset: number, bytes: number): void {
    if (!this.isEnabled) return;
    const last = Math.floor((offset + bytes - 1) / this.granularity);
    for (let granule = Math.floor(offset / this.granularity); granule <= last; granule++)
      this.dirty.add(granule);
  }

  /** What a command has written: at least what differs now, perhaps more. */
  markChanges(before: Buffer, after: Buffer): void {
    if (!this.isEnabled) return;
    this.isExact = false;
    for (let start = 0; start < Math.min(before.length, after.length); start += this.granularity) {
      const part = (disk: Buffer) => disk.subarray(start, Math.min(start + this.granularity, before.length));
      if (!part(before).equals(part(after).subarray(0, part(before).length)))
        this.dirty.add(start / this.granularity);
    }
  }

  clear(): void {
    this.dirty.clear();
    this.isExact = true;
  }

  merge(source: BitmapModel): void {
    this.isExact &&= source.isExact;
    const wasEnabled = this.isEnabled;
    this.isEnabled = true;
    for (const granule of source.dirty) this.mark(granule * source.granularity, source.granularity);
    this.isEnabled = wasEnabled;
  }

  /** The disk has another length. */
  resize(bytes: number): void {
    for (const granule of [...this.dirty])
      if (granule * this.granularity >= bytes) this.dirty.delete(granule);
  }

  clone(): BitmapModel {
    const copy = new BitmapModel(this.granularity);
    for (const granule of this.dirty) copy.dirty.add(granule);
    copy.isEnabled = this.isEnabled;
    copy.isExact = this.isExact;
    return copy;
  }

  /** Whether a bitmap that has these granules is one that this allows. */
  allows(found: ReadonlySet<number>): boolean {
    for (const granule of this.dirty) if (!found.has(granule)) return false;
    return !this.isExact || found.size === this.dirty.size;
  }
}
