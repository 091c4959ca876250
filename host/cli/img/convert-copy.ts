/**
 * The copy loop of `img convert` (specification: cli, section 2).
 *
 * Block status of the source decides what is read at all; what was read is scanned for zeros and written without a
 * copy, out of the buffers it was read into. Pieces are read ahead of those that are written (copy/pipeline.ts).
 *
 * Where the target reads as zeros already, zeros are not written. A compressed target gets whole clusters. What the host
 * copies from file to file is neither read nor scanned; where it cannot for the first time, that ends, as with QEMU.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { after, type MaybePromise } from '../../base/maybe-promise.ts';
import { roundDown, roundUp, sectorBytes } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { findSourceRange } from '../../block/copy-range.ts';
import { type BlockStatus, statusAbove } from '../../block/status.ts';
import { statusThroughRaw } from '../../block/status-through-raw.ts';
import { runPipeline, type WriteOrder } from '../../copy/pipeline.ts';
import { RateLimiter } from '../../copy/rate-limiter.ts';
import { ScanArena, type ScanBuffer } from '../../core/scan.ts';
import type { Clock } from '../../platform/platform.ts';
import { copyPiece } from '../../trace/events.ts';
import { measure } from '../../trace/measure.ts';

/** What is read, or copied by the host, at once: enough that the way there costs nothing beside the copy. */
const usualBufferBytes = 2 << 20;
/** The same of what is compressed, unless it is less than a cluster: that takes long, and one buffer waits for others. */
const compressedBufferBytes = 256 << 10;

/** Below the size of a usual cluster an extent costs more than its bytes. */
const smallExtentBytes = 64 << 10;

/** What is written to. */
export type CopyTarget = Pick<BlockBackend, 'write' | 'writeZeroes' | 'writeCompressed' | 'copyRange'>;

export interface SourceSettings {
  sources: readonly BlockBackend[];
  /** Runs of zeros from this many bytes on are not written as data; 0: everything is. */
  sparseBytes: number;
  compressed: boolean;
  workers: number;
  outOfOrder: boolean;
  /** Bytes per second; 0: as fast as it goes. */
  rateLimit: number;
  /** Unreadable sectors become zeros, with a warning. */
  salvage: boolean;
  /** Data are left to the host to copy, as they are, as long as it can. */
  offload: boolean;
  clock: Clock;
  progress: { set(percent: number): void };
  /** The progress is in percent of what there is to write, for which all of the source is looked at first. */
  plansAhead: boolean;
  warn(message: string): void;
}

interface CopySettings extends SourceSettings {
  target: CopyTarget;
  /** Of the target, in traces. */
  targetName: string;
  /** Of the target; 0: it has none. */
  clusterBytes: number;
  /** The target has to be given everything in its order. */
  isOrdered: boolean;
  /** Nobody has written to the target before. */
  targetIsNew: boolean;
  /** The target reads as zeros where nothing was written. */
  targetIsZero: boolean;
  /**
   * Length of the backing file that the target has; what the source does not hold itself is left to it. What lies past
   * its end is zeros, which a target that is not new may not have.
   */
  backingLength: number | undefined;
}

type Kind = 'data' | 'zero' | 'backing';

/** Of the sources, in the places of the target. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
}

interface Piece {
  kind: Kind;
  /** In the target. */
  offset: number;
  bytes: number;
  /** Its data are in its buffer. */
  isRead: boolean;
}

export class ConvertCopy {
  private readonly totalBytes: number;
  private readonly granule: number;
  private readonly clusterBytes: number;
  private readonly bufferBytes: number;
  private readonly arena: ScanArena;
  private readonly limiter: RateLimiter;
  /** Next byte to hand out. */
  private position = 0;
  /** What was looked at last. */
  private status: Stretch | undefined;
  private offloads: boolean;
  private writtenBytes = 0;
  private plannedBytes = 0;

  constructor(private readonly settings: CopySettings) {
    const { sources, sparseBytes, workers, clock } = settings;
    this.totalBytes = sources.reduce((sum, { length }) => sum + length, 0);
    this.clusterBytes = settings.clusterBytes;
    this.bufferBytes = settings.compressed
      ? Math.max(compressedBufferBytes, this.clusterBytes)
      : usualBufferBytes;
    this.granule = this.scanGranule(sparseBytes);
    this.arena = new ScanArena(workers * (this.bufferBytes + sectorBytes));
    this.offloads = settings.offload;
    this.limiter = new RateLimiter(clock);
    this.limiter.setSpeed(settings.rateLimit);
  }

  /** Errors: BlockError, `error while reading at byte N: …`. */
  async run(): Promise<void> {
    const { workers, plansAhead } = this.settings;
    if (plansAhead) await this.plan();
    const buffers = Array.from({ length: workers }, () => this.arena.allocate(this.bufferBytes));
    await runPipeline<Piece, ScanBuffer>(
      buffers,
      {
        next: () => this.nextPiece(),
        read: (piece, buffer) => this.readAhead(piece, buffer),
        write: (piece, buffer) => this.finish(piece, buffer),
      },
      this.order,
    );
  }

  private get order(): WriteOrder {
    const { outOfOrder, compressed, isOrdered, rateLimit } = this.settings;
    if (outOfOrder) return 'none';
    // Compressed clusters get their places in the order of handing over, unless one that has to wait is overtaken.
    return compressed && !(isOrdered && rateLimit > 0) ? 'begun' : 'finished';
  }

  /** Zeros are looked for in units that the target can leave out: a cluster of its own at best. */
  private scanGranule(sparseBytes: number): number {
    if (sparseBytes === 0) return this.bufferBytes;
    const unit = this.settings.targetIsZero ? this.clusterBytes : 0;
    return Math.max(sparseBytes, unit <= this.bufferBytes ? unit : 0);
  }

  /** For the progress: how much there is to copy. */
  private async plan(): Promise<void> {
    let isInPiece = false;
    for (let at = 0; at < this.totalBytes; ) {
      const asked = this.statusAt(at);
      const found = asked instanceof Promise ? await asked : asked;
      const { end, kind } = found;
      const isData: boolean = kind === 'data' || (isInPiece && this.isAmongData(found));
      if (isData || (kind === 'zero' && this.settings.sparseBytes === 0)) this.plannedBytes += end - at;
      isInPiece = isData && end - at < smallExtentBytes;
      at = end;
    }
    this.status = undefined;
  }

  /** Nothing of what the host may copy. */
  private async readAhead(piece: Piece, buffer: ScanBuffer): Promise<void> {
    piece.isRead = piece.kind === 'data' && !this.offloads;
    if (piece.isRead) await this.read(piece, buffer);
  }

  private async finish(piece: Piece, buffer: ScanBuffer): Promise<void> {
    if (this.needsWriting(piece)) await this.copy(piece, buffer);
    this.account(piece);
  }

  private async copy(piece: Piece, buffer: ScanBuffer): Promise<void> {
    if (piece.kind === 'data' && !piece.isRead) {
      if (this.offloads && (await this.offload(piece))) return;
      this.offloads = false;
      await this.read(piece, buffer);
    }
    await this.write(piece, buffer);
  }

  /** Has the host copy the data. False: it cannot. */
  private async offload({ offset, bytes }: Piece): Promise<boolean> {
    await this.throttle(bytes);
    try {
      for (let done = 0; done < bytes; ) {
        const { image, base } = this.sourceAt(offset + done);
        const range = await findSourceRange(image.node, offset + done - base, bytes - done);
        if (!range) return false;
        await this.settings.target.copyRange(offset + done, range);
        done += range.bytes;
      }
      return true;
    } catch (error) {
      // Should there be something wrong, reading and writing will tell what.
      asBlockError(error);
      return false;
    }
  }

  private needsWriting({ kind }: Piece): boolean {
    if (kind === 'backing') return false;
    return kind === 'data' || !this.settings.targetIsZero;
  }

  private account({ kind, offset, bytes }: Piece): void {
    const { progress, plansAhead } = this.settings;
    if (!plansAhead) {
      progress.set(((offset + bytes) / this.totalBytes) * 100);
    } else if (kind === 'data' && this.plannedBytes > 0) {
      this.writtenBytes += bytes;
      progress.set((this.writtenBytes / this.plannedBytes) * 100);
    }
  }

  /** Each is of one kind, but for zeros among data that are too few to be left out. */
  private async nextPiece(): Promise<Piece | undefined> {
    if (this.position >= this.totalBytes) return undefined;
    const offset = this.position;
    const { end, kind } = await this.statusAt(offset);
    const piece = this.settings.compressed
      ? this.wholeClusters(offset, end, kind)
      : { kind, bytes: kind === 'data' ? await this.dataBytes(offset, end) : end - offset };
    this.position = offset + piece.bytes;
    return { ...piece, offset, isRead: false };
  }

  /** Data from `offset` to `end` and beyond, for one buffer at most. Ends at a multiple of the target's unit where it can. */
  private async dataBytes(offset: number, end: number): Promise<number> {
    const { bufferBytes } = this;
    const rest = (await this.endOfData(offset, end)) - offset;
    const limit = Math.min(rest, bufferBytes);
    const over = (offset + limit) % this.granule;
    return limit === bufferBytes && over < limit ? limit - over : limit;
  }

  /** Small extents one behind the other are one piece. What is beyond `end` and cannot be told now will be told in its turn. */
  private async endOfData(offset: number, end: number): Promise<number> {
    const last = Math.min(offset + this.bufferBytes, this.totalBytes);
    let reached = end;
    try {
      for (let start = offset; reached - start < smallExtentBytes && reached < last; ) {
        const found = this.statusAt(reached);
        const next = found instanceof Promise ? await found : found;
        if (next.kind !== 'data' && !this.isAmongData(next)) break;
        start = reached;
        reached = next.end;
      }
    } catch (error) {
      asBlockError(error);
    }
    return reached;
  }

  /** Compressed clusters are of one kind each, and what the host copies is data alone. */
  private get mixes(): boolean {
    return this.settings.targetIsZero && !this.settings.compressed && !this.offloads;
  }

  /** Zeros that fill no unit of a target, which has data beside them. */
  private isAmongData({ start, end, kind }: Stretch): boolean {
    const unit = this.clusterBytes || this.granule;
    return kind === 'zero' && this.mixes && roundDown(end, unit) <= roundUp(start, unit);
  }

  /** Of a compressed target. A cluster that is not of one kind throughout is data. */
  private wholeClusters(offset: number, end: number, kind: Kind): Pick<Piece, 'kind' | 'bytes'> {
    const limit = kind === 'data' ? Math.min(end, offset + this.bufferBytes) : end;
    const whole = roundDown(limit - offset, this.clusterBytes);
    if (whole > 0) return { kind, bytes: whole };
    if (limit === this.totalBytes) return { kind, bytes: limit - offset };
    return { kind: 'data', bytes: Math.min(this.clusterBytes, this.totalBytes - offset) };
  }

  /** What there is at `at`, up to the end of the extent. */
  private statusAt(at: number): MaybePromise<Stretch> {
    const { status } = this;
    if (status && status.start <= at && at < status.end) return status;
    const { image, base } = this.sourceAt(at);
    return after(this.sourceStatus(image, at - base), (found) => this.take(at, found));
  }

  private take(start: number, found: { bytes: number; kind: Kind }): Stretch {
    let { kind } = found;
    const { backingLength, targetIsNew } = this.settings;
    let end = start + found.bytes;
    if (kind !== 'data' && backingLength !== undefined) {
      if (start >= backingLength) kind = targetIsNew ? 'backing' : 'zero';
      else end = Math.min(end, backingLength);
    }
    this.status = { start, end, kind };
    return this.status;
  }

  private sourceStatus(image: BlockBackend, offset: number): MaybePromise<{ bytes: number; kind: Kind }> {
    const rest = image.length - offset;
    const { node } = image;
    try {
      const status: MaybePromise<BlockStatus> =
        this.settings.backingLength === undefined
          ? statusAbove(node, undefined, offset, rest)
          : statusThroughRaw(node, offset, rest);
      if (!(status instanceof Promise)) return this.kindOf(status);
      return status.then(
        (found) => this.kindOf(found),
        (error: unknown) => this.withoutStatus(error, offset, rest),
      );
    } catch (error) {
      return this.withoutStatus(error, offset, rest);
    }
  }

  private kindOf({ bytes, zero, data }: BlockStatus): { bytes: number; kind: Kind } {
    const { backingLength, sparseBytes } = this.settings;
    if (zero) return { bytes, kind: sparseBytes === 0 ? 'data' : 'zero' };
    return { bytes, kind: !data && backingLength !== undefined ? 'backing' : 'data' };
  }

  private withoutStatus(error: unknown, offset: number, rest: number): { bytes: number; kind: Kind } {
    const { salvage, warn } = this.settings;
    const failure = asBlockError(error);
    if (!salvage) throw failure.within(`error while reading block status at offset ${offset}`);
    warn(`error while reading block status at offset ${offset}: ${failure.message}`);
    return { bytes: Math.min(sectorBytes, rest), kind: 'data' };
  }

  private sourceAt(at: number): { image: BlockBackend; base: number } {
    let base = 0;
    for (const image of this.settings.sources) {
      if (at < base + image.length) return { image, base };
      base += image.length;
    }
    throw new BlockError('EIO');
  }

  private async read({ offset, bytes }: Piece, buffer: ScanBuffer): Promise<void> {
    for (let done = 0; done < bytes; ) {
      const { image, base } = this.sourceAt(offset + done);
      const local = offset + done - base;
      const part = Math.min(bytes - done, image.length - local);
      const into = buffer.bytes.subarray(done, done + part);
      try {
        await image.read(local, into);
      } catch (error) {
        const failure = asBlockError(error);
        if (!this.settings.salvage) throw failure.within(`error while reading at byte ${offset + done}`);
        await this.salvage(image, local, into);
      }
      done += part;
    }
  }

  /** Sector by sector; what cannot be read becomes zeros. */
  private async salvage(image: BlockBackend, offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; done += sectorBytes) {
      const sector = into.subarray(done, done + sectorBytes);
      try {
        await image.read(offset + done, sector);
      } catch (error) {
        this.settings.warn(`error while reading offset ${offset + done}: ${asBlockError(error).message}`);
        sector.fill(0);
      }
    }
  }

  private async write(piece: Piece, buffer: ScanBuffer): Promise<void> {
    await this.throttle(piece.bytes);
    const { kind, offset, bytes } = piece;
    const told = { node: this.settings.targetName, offset, bytes, content: kind };
    try {
      await measure(copyPiece, told, () => this.writeKind(piece, buffer));
    } catch (error) {
      throw asBlockError(error).within(`error while writing at byte ${offset}`);
    }
  }

  private writeKind(piece: Piece, buffer: ScanBuffer): Promise<void> {
    const { target, compressed } = this.settings;
    if (piece.kind === 'zero') return target.writeZeroes(piece.offset, piece.bytes, { mayUnmap: true });
    return compressed ? this.writeCompressed(piece, buffer) : this.writeSparse(piece, buffer);
  }

  /** Data as data, zeros as zeros or, where the target has them already, not at all. */
  private async writeSparse({ offset, bytes }: Piece, buffer: ScanBuffer): Promise<void> {
    const { target, sparseBytes, targetIsZero } = this.settings;
    if (sparseBytes === 0) return target.write(offset, whole(buffer, bytes));
    for (let done = 0; done < bytes; ) {
      const toBoundary = this.granule - ((offset + done) % this.granule);
      const head = Math.min(toBoundary, bytes - done);
      const run =
        toBoundary === this.granule
          ? this.arena.run(buffer, done, bytes - done, this.granule)
          : { zero: this.arena.isZero(buffer, done, head), bytes: head };
      if (!run.zero) await target.write(offset + done, buffer.bytes.subarray(done, done + run.bytes));
      else if (!targetIsZero) await target.writeZeroes(offset + done, run.bytes, { mayUnmap: true });
      done += run.bytes;
    }
  }

  /** Clusters are compressed side by side. */
  private async writeCompressed({ offset, bytes }: Piece, buffer: ScanBuffer): Promise<void> {
    const { target, targetIsZero, sparseBytes } = this.settings;
    const writes: Promise<void>[] = [];
    for (let done = 0; done < bytes; done += this.clusterBytes) {
      const part = Math.min(this.clusterBytes, bytes - done);
      if (targetIsZero && sparseBytes > 0 && this.arena.isZero(buffer, done, part)) continue;
      writes.push(target.writeCompressed(offset + done, buffer.bytes.subarray(done, done + part)));
    }
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
  }

  private async throttle(bytes: number): Promise<void> {
    const { clock } = this.settings;
    const delayNs = this.limiter.delay(bytes);
    if (delayNs > 0) await new Promise<void>((resolve) => clock.setTimer(delayNs, resolve));
  }
}

function whole({ bytes: all }: ScanBuffer, bytes: number): Uint8Array {
  return bytes === all.length ? all : all.subarray(0, bytes);
}
