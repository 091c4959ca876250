/**
 * Which clusters are still to be copied, and which of them somebody has claimed to copy just now.
 *
 * Always: claims are disjoint and every cluster of a claim is dirty; ending a claim cleans its clusters or leaves them
 * to the next one. Whoever finds a claim in its way waits for `ended`.
 */
import { assert } from '../base/assert.ts';
import { ClusterBitmap } from './cluster-bitmap.ts';

/** A run of clusters that one party copies. */
export interface Claim {
  readonly offset: number;
  /** Up to the end of the image, where the last cluster may be short. */
  readonly bytes: number;
  /** Settles when the claim is over, however it went. */
  readonly ended: Promise<void>;
}

interface OwnClaim extends Claim {
  release(): void;
}

/** The next thing to do in a range: a run to copy, or a claim to wait for. */
export interface NextRun {
  readonly offset: number;
  readonly bytes: number;
  readonly claim: Claim | undefined;
}

export class CopyMap {
  private readonly bits: ClusterBitmap;
  private readonly claims = new Set<OwnClaim>();

  /** `clusterBytes` is a power of two. */
  constructor(
    readonly length: number,
    readonly clusterBytes: number,
  ) {
    this.bits = new ClusterBitmap(Math.ceil(length / clusterBytes));
  }

  /** Bytes still to copy, in whole clusters: not clipped at the end of the image. */
  get dirtyBytes(): number {
    return this.bits.count * this.clusterBytes;
  }

  setAll(): void {
    this.bits.set(0, this.bits.length);
  }

  /** Marks every cluster that the range touches. */
  set(offset: number, bytes: number): void {
    const [first, end] = this.touched(offset, bytes);
    this.bits.set(first, end);
  }

  clearAll(): void {
    this.bits.clear(0, this.bits.length);
  }

  /** Cleans clusters that need no copy; no claim may be on them. */
  clear(offset: number, bytes: number): void {
    const [first, end] = this.touched(offset, bytes);
    this.bits.clear(first, end);
  }

  isDirty(offset: number, bytes: number): boolean {
    const [first, end] = this.touched(offset, bytes);
    return first < end && this.bits.next(first, end) < end;
  }

  /** The first dirty run that touches [offset, end): unclaimed, or part of the claim that is in the way. */
  next(offset: number, end: number): NextRun | undefined {
    const [first, last] = this.touched(offset, end - offset);
    if (first >= last) return undefined;
    const from = this.bits.next(first, last);
    if (from >= last) return undefined;
    const start = from * this.clusterBytes;
    const blocking = this.claimAt(start);
    if (blocking) return { offset: start, bytes: blocking.offset + blocking.bytes - start, claim: blocking };
    let stop = Math.min(this.bits.nextClear(from, last) * this.clusterBytes, this.length);
    for (const claim of this.claims) if (claim.offset >= start && claim.offset < stop) stop = claim.offset;
    return { offset: start, bytes: stop - start, claim: undefined };
  }

  /** Claims the longest part of the range that starts at `offset` and is to copy and unclaimed. None: undefined. */
  claim(offset: number, bytes: number): Claim | undefined {
    const run = this.next(offset, offset + bytes);
    if (!run || run.claim || run.offset !== offset) return undefined;
    let release = (): void => {};
    const ended = new Promise<void>((resolve) => {
      release = resolve;
    });
    const claim: OwnClaim = { offset, bytes: Math.min(run.bytes, bytes), ended, release };
    this.claims.add(claim);
    return claim;
  }

  /** `copied`: the old data is safe. Otherwise the clusters stay to be copied. */
  end(claim: Claim, copied: boolean): void {
    const own = claim as OwnClaim;
    assert(this.claims.delete(own), 'a claim was ended twice');
    if (copied) this.clear(claim.offset, claim.bytes);
    own.release();
  }

  /** How much of `bytes` from the start of a cluster is whole clusters, the last one of the image counted as whole. */
  wholeClusters(offset: number, bytes: number): number {
    if (offset + bytes >= this.length) return this.length - offset;
    return bytes - (bytes % this.clusterBytes);
  }

  /** Progress counts in clusters: the short last one as a full one. */
  progressOf(bytes: number): number {
    return Math.ceil(bytes / this.clusterBytes) * this.clusterBytes;
  }

  private claimAt(offset: number): OwnClaim | undefined {
    for (const claim of this.claims) {
      if (claim.offset <= offset && offset < claim.offset + claim.bytes) return claim;
    }
    return undefined;
  }

  /** First cluster, and the one after the last, that a range within the image touches. */
  private touched(offset: number, bytes: number): [number, number] {
    const end = Math.min(offset + bytes, this.length);
    if (end <= offset) return [0, 0];
    return [Math.floor(offset / this.clusterBytes), Math.ceil(end / this.clusterBytes)];
  }
}
