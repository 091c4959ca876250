/**
 * Reads back the point in time that copy-before-write keeps (specification: graph, section 3, snapshot-access).
 *
 * What was copied is on the target, everything else still in the source; while that is read, writes to it wait. Clusters
 * that were never part of the point in time, or that a reader has discarded, cannot be read, and once a copy has failed
 * and the guest was let go on, nothing can.
 */
import { BlockError } from '../../base/errors.ts';
import { roundUp } from '../../base/sectors.ts';
import type { SnapshotAccess } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import { statusAbove } from '../../block/status.ts';
import type { CopyMap, ReadBack } from '../../copy/copy-map.ts';
import { HierarchicalBitmap } from '../../core/bitmap.ts';

export class PointInTime implements SnapshotAccess {
  /** A write has changed the source without a copy. */
  isBroken = false;
  /** Clusters that can be read; absent: all. */
  private readable: HierarchicalBitmap | undefined;

  constructor(
    private readonly source: Edge,
    private readonly target: Edge,
    private readonly map: CopyMap,
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
      const part = await this.map.beginRead(offset + done, length - done);
      try {
        await this.edge(part).read(offset + done, buffer.subarray(done, done + part.bytes));
      } finally {
        part.end();
      }
      done += part.bytes;
    }
    // What became unreadable meanwhile may have been overwritten while it was read.
    this.check(offset, length);
  }

  async status(offset: number, bytes: number): Promise<{ bytes: number; zero: boolean }> {
    this.check(offset, bytes);
    const part = await this.map.beginRead(offset, bytes);
    try {
      const status = await statusAbove(this.edge(part).node, undefined, offset, part.bytes);
      this.check(offset, status.bytes);
      return { bytes: status.bytes, zero: status.zero };
    } finally {
      part.end();
    }
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
