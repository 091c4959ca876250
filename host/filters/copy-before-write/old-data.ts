/**
 * What a guest's write waits for: the old data in its range is read and handed to the saver (copy/saver.ts).
 *
 * | the cluster is | and the write covers it  | so it                                                                |
 * | -------------- | ------------------------ | -------------------------------------------------------------------- |
 * | to copy        | whole, or there are none | claims the cluster and saves it                                      |
 * |                | in part, and units exist | saves the units that it touches; the cluster stays to be copied      |
 * | claimed        | whole, or there are none | waits for the claim to end                                           |
 * |                | in part, and units exist | saves its units all the same: they are put over what the claim reads |
 * | saved          |                          | has nothing to do                                                    |
 *
 * That units may be saved while somebody reads the whole cluster is sound: a guest changes nothing before its units are
 * saved, and whoever has read a claim puts over it all units that were saved by then. Nobody waits for room, nor for
 * anybody else, with a claim in hand.
 *
 * Most writes need wait for nothing: there is room, and the host's page cache has the data. Their units are saved before the
 * call returns (`saveNow`), which costs a guest a third of what promises do.
 */
import { asBlockError } from '../../base/errors.ts';
import { roundDown, roundUp } from '../../base/sectors.ts';
import type { Edge } from '../../block/edge.ts';
import { readNow } from '../../block/read-now.ts';
import { Claims } from '../../copy/claims.ts';
import { type Content, contentOf } from '../../copy/content.ts';
import type { Claim } from '../../copy/copy-map.ts';
import type { CopySource, Room } from '../../copy/saver.ts';
import type { Area } from '../../core/bitmap.ts';
import { isZero } from '../../core/scan.ts';

/** Longest range that a guest's write reads ahead of itself in one piece. */
export const maxPieceBytes = 1 << 20;

interface SavingFilter extends CopySource {
  readonly skipUnallocated: boolean;
}

export class OldData {
  /** Units that are being saved. */
  private readonly unitClaims = new Claims();

  constructor(private readonly filter: SavingFilter) {}

  /** Whether nothing in the range is left to save, be its clusters still to be copied or not. */
  isSaved(offset: number, bytes: number): boolean {
    const { copyMap, saver } = this.filter;
    const { clusterBytes, length } = copyMap;
    const { unitBytes = clusterBytes } = saver;
    const end = Math.min(offset + bytes, length);
    for (let at = offset; at < end; ) {
      const { cluster, units, stop } = this.partIn(at, end, unitBytes);
      if (copyMap.isLeft(cluster.offset, cluster.bytes) && this.missingIn(units)) return false;
      at = stop;
    }
    return true;
  }

  /**
   * Saves what of the range can be had at once. True: nothing is left to save. False: there may be, and `save` is to be used,
   * which meets again what has gone wrong.
   */
  saveNow(offset: number, bytes: number): boolean {
    const { clusterBytes, length } = this.filter.copyMap;
    const { unitBytes = clusterBytes } = this.filter.saver;
    if (unitBytes >= clusterBytes) return false;
    const end = Math.min(offset + bytes, length);
    for (let at = offset; at < end; ) {
      const { cluster, units, stop } = this.partIn(at, end, unitBytes);
      if (!this.saveUnitsAtOnce(cluster, units)) return false;
      at = stop;
    }
    return true;
  }

  private saveUnitsAtOnce(cluster: Area, units: Area): boolean {
    const { copyMap, held } = this.filter;
    if (!copyMap.isLeft(cluster.offset, cluster.bytes)) return true;
    if (this.filter.saver.hasRoomForClusters && this.saveClusterAtOnce(cluster)) return true;
    const end = units.offset + units.bytes;
    for (let at = units.offset; at < end; ) {
      const missing = this.missingIn({ offset: at, bytes: end - at });
      if (!missing) return true;
      // What else might be there, nobody has looked yet.
      const mayBeSkipped =
        this.filter.skipUnallocated && held.parts(cluster.offset, cluster.bytes).length === 0;
      if (mayBeSkipped || missing.bytes >= cluster.bytes || !this.saveUnitAtOnce(missing)) return false;
      at = missing.offset + missing.bytes;
    }
    return true;
  }

  /** Sixteen units at the price of two: a guest that writes to one of a cluster mostly comes back for others. */
  private saveClusterAtOnce(cluster: Area): boolean {
    const { saver, copyMap, held, skipUnallocated } = this.filter;
    const { offset, bytes } = cluster;
    if (skipUnallocated || held.bytesBeforeParts(offset, bytes) < bytes) return false;
    const claim = copyMap.claim(offset, bytes);
    if (!claim) return false;
    const room = claim.bytes === bytes ? this.dataAtOnce(cluster) : undefined;
    if (room) void saver.save(offset, bytes, room);
    copyMap.end(claim, room !== undefined);
    return room !== undefined;
  }

  private saveUnitAtOnce(units: Area): boolean {
    const room = this.dataAtOnce(units);
    if (room) this.filter.saver.savePart?.(units.offset, units.bytes, room);
    return room !== undefined;
  }

  /** What the source has there. Undefined: that takes waiting, or it is zeros, which need no room if the cluster has nothing else. */
  private dataAtOnce({ offset, bytes }: Area): Room | undefined {
    const { saver, source } = this.filter;
    if (this.unitClaims.freeBytes(offset, bytes) < bytes) return undefined;
    const room = saver.reserveNow?.(bytes);
    if (!room?.buffer) return undefined;
    const data = room.buffer.subarray(0, bytes);
    if (readAtOnce(source, offset, data) && !isZero(data)) return room;
    saver.release(room);
    return undefined;
  }

  /** The first part of a write to [offset, end): its cluster, the units of that which it touches, and where it stops. */
  private partIn(
    offset: number,
    end: number,
    unitBytes: number,
  ): { cluster: Area; units: Area; stop: number } {
    const { clusters, length } = this.filter.copyMap;
    const cluster = clusters.widen({ offset, bytes: 1 });
    const stop = Math.min(end, cluster.offset + cluster.bytes);
    const start = roundDown(offset, unitBytes);
    return {
      cluster,
      units: { offset: start, bytes: Math.min(roundUp(stop, unitBytes), length) - start },
      stop,
    };
  }

  /**
   * Settles when nothing in the range is left to save. Of clusters that it covers in part only the units that it touches
   * are, where the saver has units. Errors: of reading the source, of the saver.
   */
  async save(offset: number, bytes: number): Promise<void> {
    const { clusterBytes, length } = this.filter.copyMap;
    const { unitBytes = clusterBytes } = this.filter.saver;
    const end = Math.min(offset + bytes, length);
    if (unitBytes >= clusterBytes) return this.saveClusters(offset, end);
    for (let at = offset; at < end; ) {
      const { cluster, units, stop } = this.partIn(at, end, unitBytes);
      if (units.bytes < cluster.bytes) {
        await this.saveUnits(cluster, units);
        at = stop;
      } else {
        const wholeEnd = Math.max(stop, end === length ? length : roundDown(end, clusterBytes));
        await this.saveClusters(at, wholeEnd);
        at = wholeEnd;
      }
    }
  }

  private async saveClusters(offset: number, end: number): Promise<void> {
    for (;;) {
      const next = this.filter.copyMap.next(offset, end);
      if (!next || this.filter.isDisabled) return;
      if ('ended' in next) await next.ended;
      else await this.saveRun(next.offset, Math.min(next.bytes, maxPieceBytes));
    }
  }

  /** Saves one run of clusters that were to copy a moment ago, or as much of it as can be had. */
  private async saveRun(offset: number, bytes: number): Promise<void> {
    await this.saveContent(offset, await this.contentAt(offset, bytes));
  }

  /** What guests have saved of a cluster may be data, although it reads as zeros now: it is taken for data. */
  private async contentAt(offset: number, bytes: number): Promise<Content> {
    const { source, skipUnallocated, held } = this.filter;
    const { clusters, clusterBytes } = this.filter.copyMap;
    if (held.parts(offset, 1).length > 0) return { kind: 'data', bytes: Math.min(bytes, clusterBytes) };
    return contentOf(source.node, clusters, offset, held.bytesBeforeParts(offset, bytes), skipUnallocated);
  }

  private async saveContent(offset: number, { kind, bytes }: Content): Promise<void> {
    const { copyMap, held, saver } = this.filter;
    const room = kind === 'skip' ? undefined : await saver.reserve(bytes, kind);
    const giveUp = (): void => {
      if (room) saver.release(room);
    };
    if (this.filter.isDisabled) return giveUp();
    // Looking and reserving took time: what somebody else copied meanwhile is not ours any more.
    if (kind !== 'data' && held.bytesBeforeParts(offset, bytes) < bytes) return giveUp();
    const claim = copyMap.claim(offset, bytes);
    if (!claim) {
      giveUp();
      await copyMap.whenFree(offset, bytes);
    } else if (room) {
      await this.moveClaim(claim, room);
    } else {
      copyMap.end(claim, true);
      saver.skipped(claim.bytes);
    }
  }

  private async moveClaim(claim: Claim, room: Room): Promise<void> {
    const { source, held, saver, copyMap } = this.filter;
    const { offset, bytes } = claim;
    try {
      if (room.buffer) {
        const data = room.buffer.subarray(0, bytes);
        await source.read(offset, data);
        await held.overlay(offset, data);
      }
    } catch (error) {
      saver.release(room);
      copyMap.end(claim, false);
      throw error;
    }
    if (this.filter.isDisabled) {
      saver.release(room);
      return copyMap.end(claim, false);
    }
    let saved = false;
    try {
      await saver.save(offset, bytes, room);
      saved = true;
      held.dropParts(offset, bytes);
    } finally {
      copyMap.end(claim, saved);
    }
  }

  /** Saves units of one cluster, unless all of that is saved by others meanwhile: nobody waits for a copy of the rest. */
  private async saveUnits(cluster: Area, units: Area): Promise<void> {
    const { copyMap, held, saver } = this.filter;
    let isData = false;
    while (!this.filter.isDisabled) {
      const step = copyMap.next(cluster.offset, cluster.offset + cluster.bytes);
      const missing = this.missingIn(units);
      if (!step || !missing) return;
      const isClaimed = 'ended' in step;
      if (this.unitClaims.freeBytes(missing.offset, missing.bytes) < missing.bytes) {
        await this.unitClaims.whenFree(missing.offset, missing.bytes);
      } else if (!isData && !isClaimed && held.parts(cluster.offset, cluster.bytes).length === 0) {
        const content = await this.contentAt(cluster.offset, cluster.bytes);
        if (content.kind === 'data') isData = true;
        else await this.saveContent(cluster.offset, content);
      } else {
        await this.saveUnitsNow(cluster, missing, await saver.reserve(missing.bytes, 'data'));
      }
    }
  }

  /** What of the units is not saved, from the first one on that is not. */
  private missingIn({ offset, bytes }: Area): Area | undefined {
    const end = offset + bytes;
    let at = offset;
    while (at < end) {
      const piece = this.filter.held.at(at);
      if (!piece) return { offset: at, bytes: this.filter.held.gap(at, end - at) };
      at = piece.end;
    }
    return undefined;
  }

  /** Does nothing when others were faster while there was no room. */
  private async saveUnitsNow(cluster: Area, { offset, bytes }: Area, room: Room): Promise<void> {
    const { copyMap, held, saver } = this.filter;
    const { unitClaims } = this;
    const isOpen = (): boolean => !this.filter.isDisabled && copyMap.isLeft(cluster.offset, cluster.bytes);
    const isMissing = !held.at(offset) && held.gap(offset, bytes) === bytes;
    if (!room.buffer || !isOpen() || !isMissing || unitClaims.freeBytes(offset, bytes) < bytes) {
      return saver.release(room);
    }
    const claim = unitClaims.begin(offset, bytes);
    try {
      await this.filter.source.read(offset, room.buffer.subarray(0, bytes));
      if (isOpen()) saver.savePart?.(offset, bytes, room);
      else saver.release(room);
    } catch (error) {
      saver.release(room);
      throw error;
    } finally {
      unitClaims.end(claim);
    }
  }
}

/** What fails is tried again by who can wait, and fails there. */
function readAtOnce(source: Edge, offset: number, data: Uint8Array): boolean {
  try {
    return readNow(source, offset, data);
  } catch (error) {
    asBlockError(error);
    return false;
  }
}
