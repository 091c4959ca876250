/**
 * What the target of a mirror lacks: an unnamed dirty bitmap on the filter above the source, and the ranges that somebody
 * is copying.
 *
 * A range is in step when it is clean and nobody has claimed it. Who copies claims first, cleans, and then looks at the
 * source: what is written meanwhile makes the range dirty again, and a copy that fails does so too.
 *
 * Every write to the source marks it, whichever way it came. Only one that brings its data to the target itself
 * (copy-mode=write-blocking) is announced by `expect` and leaves no mark. Such writes claim the bytes that they change, and
 * not the granules around them, so that two of them only wait for each other where they overlap.
 */
import type { DirtyBitmap } from '../../bitmaps/dirty-bitmap.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockNode, WriteObserver } from '../../block/node.ts';
import { type Claim, Claims } from '../../copy/claims.ts';
import { Units } from '../../copy/units.ts';
import type { Area } from '../../core/bitmap.ts';

interface ExpectedWrite {
  readonly offset: number;
  readonly bytes: number;
}

export class DirtyMap implements WriteObserver {
  /** What the background copies, in whole units. */
  readonly claims = new Claims();
  /** What guests' writes bring to the target themselves. */
  readonly writeClaims = new Claims();
  /** Guests' writes that the background will have to bring, and that have left no mark so far. */
  unmarkedWrites = 0;
  readonly length: number;
  /** What requests to the target are aligned to. */
  readonly units: Units;
  private readonly bitmap: DirtyBitmap;
  private readonly expected: ExpectedWrite[] = [];

  /**
   * Clean. `granularity` is a power of two, `unitBytes` a multiple of it. `filter`: where queries show the bitmap. Errors:
   * ENOMEM.
   */
  constructor(
    private readonly source: BlockNode,
    private readonly filter: BlockNode,
    granularity: number,
    unitBytes: number,
  ) {
    this.length = source.length;
    this.units = new Units(source.length, unitBytes);
    this.bitmap = bitmapsOf(filter).addAnonymous(granularity, { disabled: true });
    source.writeObservers.add(this);
  }

  onWrite(offset: number, bytes: number): void {
    const index = this.expected.findIndex((write) => write.offset === offset && write.bytes === bytes);
    if (index >= 0) this.expected.splice(index, 1);
    else this.bitmap.bits.set(offset, bytes);
  }

  /** The next write of exactly this range makes nothing dirty. Returned: what takes that back. */
  expect(offset: number, bytes: number): () => void {
    const write = { offset, bytes };
    this.expected.push(write);
    return () => {
      const index = this.expected.indexOf(write);
      if (index >= 0) this.expected.splice(index, 1);
    };
  }

  get granularity(): number {
    return this.bitmap.granularity;
  }

  /** In whole granules. */
  get dirtyBytes(): number {
    return this.bitmap.count;
  }

  /** Nothing is dirty, and nobody is copying. */
  get isInStep(): boolean {
    const { claims, writeClaims, unmarkedWrites } = this;
    return this.bitmap.count === 0 && claims.isEmpty && writeClaims.isEmpty && unmarkedWrites === 0;
  }

  /** Being copied, one way or the other. */
  get claimedBytes(): number {
    return this.claims.bytes + this.writeClaims.bytes;
  }

  /** How many bytes of the range nobody has claimed, from its start on. */
  freeBytes(offset: number, bytes: number): number {
    return Math.min(this.claims.freeBytes(offset, bytes), this.writeClaims.freeBytes(offset, bytes));
  }

  /** Settles when there is a chance that nobody has claimed any of the range. */
  async whenFree(offset: number, bytes: number): Promise<void> {
    await this.claims.whenFree(offset, bytes);
    await this.writeClaims.whenFree(offset, bytes);
  }

  set(offset: number, bytes: number): void {
    this.bitmap.bits.set(offset, bytes);
  }

  setAll(): void {
    this.bitmap.bits.setAll();
  }

  /** Cleans the granules that lie in the range as a whole. */
  clean(offset: number, bytes: number): void {
    this.bitmap.bits.reset(offset, bytes);
  }

  /** Whether anything in [start, end) is dirty. */
  isDirty(start: number, end: number): boolean {
    return start < end && this.bitmap.bits.nextDirty(start, end - start) >= 0;
  }

  /** The first dirty stretch from `start` on, at most `maxBytes` long. */
  next(start: number, maxBytes: number): Area | undefined {
    return this.bitmap.bits.nextDirtyArea(start, this.length, maxBytes);
  }

  /** The claim keeps its first `bytes`; the rest is dirty again. */
  shorten(claim: Claim, bytes: number): void {
    const { offset, bytes: claimed } = claim;
    if (bytes === claimed) return;
    this.claims.shorten(claim, bytes);
    this.set(offset + bytes, claimed - bytes);
  }

  close(): void {
    this.source.writeObservers.delete(this);
    bitmapsOf(this.filter).remove(this.bitmap);
  }
}
