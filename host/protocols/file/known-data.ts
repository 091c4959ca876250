/**
 * Stretches of a file that were found to hold data: some file systems look at every page of one to say where it ends
 * (tmpfs: 25 ms for 512 MiB), and whoever copies a disk asks for each piece of it.
 *
 * Only data are remembered. Should somebody else make a hole there, or make the file shorter, it reads as what it is; a
 * hole that somebody else fills would be taken for zeros. Whoever changes the file by itself says what is to be forgotten.
 * Of no account to what is right: without all of this the file system is asked more often.
 */

/** Stretches at most: those who go through a file at different places need one each. */
const maxStretches = 16;

interface Stretch {
  readonly start: number;
  readonly end: number;
}

export class KnownData {
  /** Disjoint; the one that was of use last is the last one. */
  private stretches: Stretch[] = [];

  /** How many bytes from `offset` on are known to be data; 0: nothing is known. */
  bytesAt(offset: number): number {
    const { stretches } = this;
    const last = stretches.length - 1;
    for (let i = last; i >= 0; i--) {
      const stretch = stretches[i]!; // within the list
      if (offset < stretch.start || offset >= stretch.end) continue;
      if (i < last) {
        stretches.splice(i, 1);
        stretches.push(stretch);
      }
      return stretch.end - offset;
    }
    return 0;
  }

  /** The file system has said that a stretch is data. */
  add(offset: number, bytes: number): void {
    this.forget(offset, bytes);
    this.stretches.push({ start: offset, end: offset + bytes });
    if (this.stretches.length > maxStretches) this.stretches.shift();
  }

  /** A range is not known to be data any more. `bytes` may be infinite. */
  forget(offset: number, bytes: number): void {
    const end = offset + bytes;
    if (!this.stretches.some((stretch) => stretch.start < end && offset < stretch.end)) return;
    const cut = this.stretches.flatMap((stretch) => [
      { start: stretch.start, end: Math.min(stretch.end, offset) },
      { start: Math.max(stretch.start, end), end: stretch.end },
    ]);
    this.stretches = cut.filter((stretch) => stretch.start < stretch.end).slice(-maxStretches);
  }
}
