/**
 * Which clusters are still to be copied, and which of them somebody has claimed to copy just now: the core's
 * copy-before-write state (host/core/cbw.ts) with promises for those who find a claim in their way.
 *
 * Always: claims are disjoint. A claimed cluster is nobody else's until the claim ends, which makes it copied, or leaves
 * it to the next one.
 */
import { createDeferred, type Deferred } from '../base/deferred.ts';
import { roundUp } from '../base/sectors.ts';
import type { HierarchicalBitmap } from '../core/bitmap.ts';
import { CopyBeforeWriteState } from '../core/cbw.ts';
import { Units } from './units.ts';

/** A run of clusters that one party copies. */
export interface Claim {
  readonly token: number;
  readonly offset: number;
  /** Up to the end of the image, where the last cluster may be short. */
  readonly bytes: number;
}

/** The next thing to do in a range: a run to copy that nobody has, or claims to wait for. */
type NextStep = { readonly offset: number; readonly bytes: number } | { readonly ended: Promise<void> };

/** The first part of a range that somebody reads back. */
export interface ReadBack {
  readonly from: 'source' | 'copy';
  readonly bytes: number;
  /** Once the data is there. */
  end(): void;
}

export class CopyMap {
  readonly clusters: Units;
  private readonly state: CopyBeforeWriteState;
  /** Who waits for the end of which claim, or of which reading back. */
  private readonly ends = new Map<number, Deferred<void>>();

  /** Nothing is to be copied yet. `clusterBytes` is a power of two. Errors: ENOMEM. */
  constructor(
    readonly length: number,
    readonly clusterBytes: number,
  ) {
    this.clusters = new Units(length, clusterBytes);
    this.state = new CopyBeforeWriteState(length, clusterBytes);
  }

  /** Bytes still to copy or being copied, in whole clusters: not clipped at the end of the image. */
  get dirtyBytes(): number {
    return this.state.toCopyBytes + this.state.copyingBytes;
  }

  setAll(): void {
    this.state.toCopy.setAll();
  }

  /** Exactly the clusters that `source`, about as many bytes, has dirty. */
  replace(source: HierarchicalBitmap): void {
    this.state.toCopy.clear();
    this.state.toCopy.merge(source);
  }

  /** Adds what is to copy and in nobody's hands to `bits`, about as many bytes. */
  addTo(bits: HierarchicalBitmap): void {
    bits.merge(this.state.toCopy);
  }

  /** Marks every cluster that the range touches. */
  set(offset: number, bytes: number): void {
    this.state.toCopy.set(offset, bytes);
  }

  /** Whether a write must wait for something. */
  isDirty(offset: number, bytes: number): boolean {
    return this.state.checkWrite(offset, bytes) !== 'pass';
  }

  /** Whether anything in the range is still to be copied or being copied. */
  isLeft(offset: number, bytes: number): boolean {
    return this.state.next(offset, bytes, 0).kind !== 'done';
  }

  /** Whether somebody reads any of the range back from the source. */
  isRead(offset: number, bytes: number): boolean {
    return this.state.readerIn(offset, bytes).kind !== 'done';
  }

  /** What is left to do in [offset, end): nothing when undefined. */
  next(offset: number, end: number): NextStep | undefined {
    const step = this.state.next(offset, end - offset, this.progressOf(end - offset));
    if (step.kind === 'done') return undefined;
    return step.kind === 'run' ? step : { ended: this.whenEnded(step.token) };
  }

  /**
   * Claims the longest part of the range that starts at `offset` and is to copy. Undefined: there is none any more, or
   * too many claims are open; `whenFree` settles when it makes sense to look again.
   */
  claim(offset: number, bytes: number): Claim | undefined {
    const step = this.state.next(offset, bytes, this.progressOf(bytes));
    if (step.kind !== 'run' || step.offset !== offset) return undefined;
    const copy = this.state.beginCopy(offset, bytes, this.progressOf(bytes));
    return copy.kind === 'copy' ? copy : undefined;
  }

  /** Settles at once unless the range is in a claim, or no claim can be made anywhere. */
  async whenFree(offset: number, bytes: number): Promise<void> {
    const step = this.state.beginCopy(offset, bytes, 0);
    if (step.kind === 'copy') this.state.endCopy(step.token, false);
    if (step.kind === 'wait') await this.whenEnded(step.token);
  }

  /** `copied`: the old data is safe. Otherwise the clusters stay to be copied. */
  end(claim: Claim, copied: boolean): void {
    this.state.endCopy(claim.token, copied);
    this.release(claim.token);
  }

  private release(token: number): void {
    this.ends.get(token)?.resolve();
    this.ends.delete(token);
  }

  /**
   * Where the first part of the range can be read as it was at the point in time: in the source, where writes wait until
   * `end` is called, or from what was copied. Or what to wait for before asking again.
   */
  beginRead(offset: number, bytes: number): ReadBack | { readonly ended: Promise<void> } {
    const step = this.state.beginRead(offset, bytes);
    if (step.kind === 'wait') return { ended: this.whenEnded(step.token) };
    if (step.kind === 'copied') return { from: 'copy', bytes: step.bytes, end() {} };
    const { token } = step;
    return { from: 'source', bytes: step.bytes, end: () => this.endRead(token) };
  }

  private endRead(token: number): void {
    this.state.endRead(token);
    this.release(token);
  }

  /** Settles when nobody reads any of the range from the source. */
  async whenUnread(offset: number, bytes: number): Promise<void> {
    for (;;) {
      const step = this.state.readerIn(offset, bytes);
      if (step.kind === 'done') return;
      await this.whenEnded(step.token);
    }
  }

  /** The range, whole clusters, need not be copied any more. What somebody is just copying gets copied. */
  drop(offset: number, bytes: number): void {
    this.state.toCopy.reset(offset, bytes);
  }

  /** Progress counts in clusters: the short last one as a full one. */
  progressOf(bytes: number): number {
    return roundUp(bytes, this.clusterBytes);
  }

  private whenEnded(token: number): Promise<void> {
    const end = this.ends.get(token) ?? createDeferred();
    this.ends.set(token, end);
    return end.promise;
  }
}
