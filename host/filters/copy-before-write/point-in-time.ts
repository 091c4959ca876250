/**
 * Reads back the point in time that copy-before-write keeps (specification: graph, section 3, snapshot-access).
 *
 * What was copied is on the target or on its way there, everything else still in the source; while that is read, writes
 * to it wait. Clusters
 * that were never part of the point in time, or that a reader has discarded, cannot be read, and once a copy has failed
 * and the guest was let go on, nothing can.
 */
import { BlockError } from '../../base/errors.ts';
import { roundUp } from '../../base/sectors.ts';
import type { SnapshotAccess } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import { statusAbove } from '../../block/status.ts';
import type { CopyMap, ReadBack } from '../../copy/copy-map.ts';
import type { HeldPieces } from '../../copy/held-pieces.ts';
import type { Piece } from '../../copy/piece.ts';
import { HierarchicalBitmap } from '../../core/bitmap.ts';

interface HeldPart {
  readonly piece: Piece;
  readonly bytes: number;
}

export class PointInTime implements SnapshotAccess {
  /** A write has changed the source without a copy. */
  isBroken = false;
  /** Clusters that can be read; absent: all. */
  private readable: HierarchicalBitmap | undefined;

  constructor(
    private readonly source: Edge,
    private readonly target: Edge,
    private readonly map: CopyMap,
    private readonly held: HeldPieces,
  ) {}

  /** Only what is to be copied now can be read. Nobody has copied anything so far. */
  restrict(): void {
    this.readable = this.newBits();
    this.map.addTo(this.readable);
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const { length } = buffer;
    this.check(offset, length);
    for (let done = 0; done < length; ) {
      done += await this.readPart(offset + done, buffer.subarray(done));
    }
    // What became unreadable meanwhile may have been overwritten while it was read.
    this.check(offset, length);
  }

  /** Reads the first bytes, and says how many: none when something has to be waited for. */
  private async readPart(offset: number, buffer: Uint8Array): Promise<number> {
    const part = this.find(offset, buffer.length);
    if ('ended' in part) {
      await part.ended;
      return 0;
    }
    if ('piece' in part) {
      await part.piece.copyTo(offset, buffer.subarray(0, part.bytes));
      return part.bytes;
    }
    try {
      await this.edge(part).read(offset, buffer.subarray(0, part.bytes));
    } finally {
      part.end();
    }
    return part.bytes;
  }

  async status(offset: number, bytes: number): Promise<{ bytes: number; zero: boolean }> {
    this.check(offset, bytes);
    let part = this.find(offset, bytes);
    while ('ended' in part) {
      await part.ended;
      part = this.find(offset, bytes);
    }
    if ('piece' in part) return { bytes: part.bytes, zero: part.piece.isZero };
    try {
      const status = await statusAbove(this.edge(part).node, undefined, offset, part.bytes);
      this.check(offset, status.bytes);
      return { bytes: status.bytes, zero: status.zero };
    } finally {
      part.end();
    }
  }

  /**
   * Where the first part of the range is now, or what to wait for before looking again. Nothing can happen between looking
   * among the pieces and asking the map; a piece may be gone as soon as something else gets its turn.
   */
  private find(offset: number, bytes: number): HeldPart | ReadBack | { readonly ended: Promise<void> } {
    const piece = this.held.at(offset);
    if (piece) return { piece, bytes: Math.min(bytes, piece.end - offset) };
    return this.map.beginRead(offset, this.held.gap(offset, bytes));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    const { clusterBytes, length } = this.map;
    const start = roundUp(offset, clusterBytes);
    const end = offset + bytes >= length ? length : offset + bytes - ((offset + bytes) % clusterBytes);
    if (start >= end) return;
    if (!this.readable) {
      this.readable = this.newBits();
      this.readable.setAll();
    }
    this.readable.reset(start, end - start);
    this.map.drop(start, end - start);
    this.held.dropParts(start, end - start);
    await this.target.discard(start, end - start);
  }

  private check(offset: number, bytes: number): void {
    if (this.isBroken || (this.readable && this.readable.nextZero(offset, bytes) >= 0)) {
      throw new BlockError('EACCES');
    }
  }

  private edge({ from }: ReadBack): Edge {
    return from === 'source' ? this.source : this.target;
  }

  private newBits(): HierarchicalBitmap {
    return HierarchicalBitmap.create(this.map.length, this.map.clusterBytes);
  }
}
