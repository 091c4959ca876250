/**
 * What is saved of a point in time and not on the target yet, by place: who reads the point in time finds it here, and who
 * completes a cluster takes the parts of it that were saved.
 *
 * Always: pieces are disjoint. A part belongs to a cluster that is still to be copied or claimed, or that has all its parts
 * here; it goes when a piece of the whole cluster takes its place, or when nobody wants the cluster any more (`dropParts`).
 */
import type { Piece } from './piece.ts';

export class HeldPieces {
  private readonly byCluster = new Map<number, Piece[]>();

  /** `clusterBytes`: of the copy. */
  constructor(private readonly clusterBytes: number) {}

  add(piece: Piece): void {
    for (let index = this.indexOf(piece.offset); index * this.clusterBytes < piece.end; index++) {
      const there = this.byCluster.get(index);
      if (there) there.push(piece);
      else this.byCluster.set(index, [piece]);
    }
  }

  /** All pieces, in no order. */
  all(): ReadonlySet<Piece> {
    return new Set([...this.byCluster.values()].flat());
  }

  has(piece: Piece): boolean {
    return this.byCluster.get(this.indexOf(piece.offset))?.includes(piece) ?? false;
  }

  /** Nobody needs it any more. Harmless when it is not here. */
  delete(piece: Piece): void {
    if (!this.has(piece)) return;
    for (let index = this.indexOf(piece.offset); index * this.clusterBytes < piece.end; index++) {
      const others = (this.byCluster.get(index) ?? []).filter((other) => other !== piece);
      if (others.length > 0) this.byCluster.set(index, others);
      else this.byCluster.delete(index);
    }
    piece.onGone?.();
  }

  /** The piece that holds the byte at `offset`. */
  at(offset: number): Piece | undefined {
    const there = this.byCluster.get(this.indexOf(offset));
    return there?.find((piece) => piece.offset <= offset && offset < piece.end);
  }

  /** How many bytes of the range are in no piece, from its start on. */
  gap(offset: number, bytes: number): number {
    const end = offset + bytes;
    for (let index = this.indexOf(offset); index * this.clusterBytes < end; index++) {
      let nearest = end;
      for (const piece of this.byCluster.get(index) ?? []) {
        if (piece.end > offset) nearest = Math.min(nearest, Math.max(piece.offset, offset));
      }
      if (nearest < end) return nearest - offset;
    }
    return bytes;
  }

  /** Parts of clusters in the range, which is of whole clusters. */
  parts(offset: number, bytes: number): Piece[] {
    const found: Piece[] = [];
    const end = offset + bytes;
    if (this.byCluster.size < bytes / this.clusterBytes) {
      // A long range, of which little is held.
      for (const [index, pieces] of this.byCluster) {
        const start = index * this.clusterBytes;
        if (start >= offset && start < end) found.push(...pieces.filter(({ isPart }) => isPart));
      }
      return found.sort((one, other) => one.offset - other.offset);
    }
    for (let index = this.indexOf(offset); index * this.clusterBytes < end; index++) {
      for (const piece of this.byCluster.get(index) ?? []) if (piece.isPart) found.push(piece);
    }
    return found;
  }

  /** Whether parts are all that there is of the range, which is a cluster. */
  hasAllParts(offset: number, bytes: number): boolean {
    return this.parts(offset, bytes).reduce((sum, part) => sum + part.bytes, 0) === bytes;
  }

  /** How much of the range, of whole clusters, lies before the first cluster that has parts. */
  bytesBeforeParts(offset: number, bytes: number): number {
    const [first] = this.parts(offset, bytes);
    return first ? Math.max(0, this.indexOf(first.offset) * this.clusterBytes - offset) : bytes;
  }

  /**
   * Puts the parts that are here now over what was just read of the source for a claim. Parts that are added while it goes
   * on hold what the source held when it was read. Errors: of the spill file.
   */
  async overlay(offset: number, data: Uint8Array): Promise<void> {
    for (const part of this.parts(offset, data.length)) {
      await part.copyTo(part.offset, data.subarray(part.offset - offset, part.end - offset));
    }
  }

  /** The whole cluster has taken the place of its parts, or nobody wants it any more. The range is of whole clusters. */
  dropParts(offset: number, bytes: number): void {
    for (const part of this.parts(offset, bytes)) this.delete(part);
  }

  private indexOf(offset: number): number {
    return Math.floor(offset / this.clusterBytes);
  }
}
