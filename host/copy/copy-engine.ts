/**
 * Copies clusters from a source to a target, from two sides over one map: in the background, and ahead of guests'
 * writes (filters/copy-before-write calls the save buffer for those).
 *
 * In the background several requests are in flight at once; each reads up to 1 MiB into a buffer of the pool, or finds
 * out that there is nothing but zeros, and hands it to the writer. As soon as the data is in memory its clusters count
 * as saved and guests may overwrite them; they count as progress when the target has them. What guests write most comes
 * first, and when their buffer fills up the target is left to it. The loop stands back for guests and the event loop
 * (copy-pacer.ts), sleeps as the speed limit says, and stops when it is wanted elsewhere.
 */
import { asBlockError, BlockError } from '../base/errors.ts';
import { roundDown } from '../base/sectors.ts';
import type { WorkProgress } from '../base/work-progress.ts';
import type { Area } from '../core/bitmap.ts';
import type { Clock } from '../platform/platform.ts';
import { BufferPool } from './buffer-pool.ts';
import { type Content, contentOf } from './content.ts';
import type { Claim } from './copy-map.ts';
import type { CopyPacer } from './copy-pacer.ts';
import { Piece } from './piece.ts';
import { PieceWriter } from './piece-writer.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { type BufferFill, SaveBuffer } from './save-buffer.ts';
import { type CopySource, DirectSaver } from './saver.ts';
import type { Spiller } from './spiller.ts';
import { Traffic } from './traffic.ts';
import { askUntouched, isUntouched, maxUntouchedBytes } from './untouched.ts';

/** Longest request for data. */
const maxCopyBytes = 1 << 20;
/** Longest request for zeros, when no speed is set. */
const maxZeroBytes = 64 << 20;
/** Most bytes of data that background requests hold in memory together. */
const maxInFlightBytes = 16 << 20;
/** Reads at the same time: enough to keep a disk busy, few enough to stay in the processor's caches. */
const maxReaders = 8;
/** Hot regions looked at before each request: finding one means going through all of them. */
const maxHotTries = 8;

interface CopyEngineOptions {
  filter: CopySource;
  clock: Clock;
  pacer: CopyPacer;
  limiter: RateLimiter;
  /** Requests in flight in the background, ≥ 1. */
  maxWorkers: number;
  /** Longest background request in bytes, a multiple of the cluster size; 0: only the built-in limit. */
  maxChunkBytes: number;
  compress: boolean;
  /** What guests overwrite waits here for the target; 0: guests wait for the target themselves. */
  bufferBytes: number;
  spill: Spiller | undefined;
  /** Buffer and spill file are full, and guests are not to wait: the point in time is lost. Absent: they wait. */
  onFull?: (() => void) | undefined;
  /** Buffer and spill file fill up. */
  onAlarm(fill: BufferFill): void;
  /** What the background has copied is discarded in the source: nobody will need it there. */
  discardSource: boolean;
  progress: WorkProgress;
  /** Whether the loop should come to an end soon: a pause, a cancellation. */
  isWanted(): boolean;
  /** Whether the job stands still. */
  isStopped(): boolean;
}

/** Why copying stopped, and on which side. */
export class CopyFailure extends Error {
  constructor(
    readonly operation: 'read' | 'write',
    readonly error: BlockError,
  ) {
    super(error.message);
  }
}

export class CopyEngine {
  private readonly writer: PieceWriter;
  private readonly saved: SaveBuffer;
  private readonly pool = new BufferPool();
  private readonly chunkBytes: number;
  /** Nobody may write what is on its way to the target: readers of that see the source, or it is about to be discarded. */
  private readonly holdsClaims: boolean;
  private readError: BlockError | undefined;
  private readonly traffic: Traffic;
  private readers = 0;
  private cursor = 0;
  private isDisposed = false;

  constructor(private readonly options: CopyEngineOptions) {
    const { filter, progress, compress, maxChunkBytes } = options;
    this.traffic = new Traffic(options.clock);
    const { clusterBytes } = filter.copyMap;
    const limit = Math.min(maxChunkBytes || maxCopyBytes, maxCopyBytes);
    this.chunkBytes = compress ? clusterBytes : Math.max(clusterBytes, roundDown(limit, clusterBytes));
    progress.expect(filter.copyMap.dirtyBytes);
    const onWritten = (piece: Piece): void => {
      filter.held.delete(piece);
      progress.advance(filter.copyMap.progressOf(piece.bytes));
    };
    const onSkipped = (bytes: number): void => {
      progress.expectLess(filter.copyMap.progressOf(bytes));
    };
    this.writer = new PieceWriter({
      target: filter.target,
      pool: this.pool,
      compress,
      onWritten,
    });
    this.saved = new SaveBuffer({
      filter,
      pool: this.pool,
      writer: this.writer,
      limitBytes: options.bufferBytes,
      spill: options.spill,
      // What is discarded is not to be written to before that.
      wholeClusters: options.discardSource,
      onSkipped,
      onChange: () => this.traffic.wake(),
      async onStuck(error) {
        if (options.isStopped()) throw error;
      },
      giveUp: options.onFull && (() => this.giveUp()),
      onAlarm: options.onAlarm,
    });
    this.holdsClaims = options.bufferBytes === 0 || options.discardSource;
    filter.saver =
      options.bufferBytes === 0 ? new DirectSaver(filter.target, onWritten, onSkipped) : this.saved;
  }

  /**
   * Drops everything that the top layer of the source does not hold from what is to be copied (sync=top). False when it
   * was wanted elsewhere before the end: called again, it goes on. Rejects with a CopyFailure.
   */
  async skipUnallocated(): Promise<boolean> {
    const { filter, progress, pacer, isWanted } = this.options;
    const { copyMap: map, source } = filter;
    while (!isWanted()) {
      const breath = pacer.breathe(this.traffic);
      if (breath !== undefined) await breath;
      const run = map.next(this.cursor, map.length);
      // What guests have claimed behind the cursor they look at themselves.
      if (!run || 'ended' in run) {
        this.cursor = 0;
        return true;
      }
      let content: Content;
      try {
        const bytes = Math.min(run.bytes, maxUntouchedBytes);
        content = await contentOf(source.node, map.clusters, run.offset, bytes, true);
      } catch (error) {
        throw new CopyFailure('read', asBlockError(error));
      }
      // What has parts was held when they were saved.
      const freeBytes = filter.held.bytesBeforeParts(run.offset, content.bytes);
      const bytes = freeBytes || Math.min(content.bytes, map.clusterBytes);
      this.cursor = run.offset + bytes;
      const isSkipped = content.kind === 'skip' && freeBytes > 0;
      const claim = isSkipped ? map.claim(run.offset, bytes) : undefined;
      if (!claim) continue;
      progress.expectLess(map.progressOf(claim.bytes));
      map.end(claim, true);
    }
    return false;
  }

  /**
   * Copies until nothing is left and the target has all of it (true), or until it is wanted elsewhere (false); nothing
   * of the background is in flight then. Rejects with a CopyFailure; called again, it goes on with what failed.
   */
  async copyAll(): Promise<boolean> {
    await this.retryFailed();
    await this.copyClusters();
    await this.traffic.whenIdle();
    this.throwFailure();
    while (!this.saved.isEmpty && !this.options.isWanted()) {
      await this.traffic.whenChanged();
      this.throwFailure();
    }
    return !this.options.isWanted() && this.options.filter.copyMap.dirtyBytes === 0;
  }

  /** Only lets guests' writes be saved, until it is wanted elsewhere (sync=none). Rejects as `copyAll`. */
  async saveOnly(): Promise<void> {
    await this.retryFailed();
    while (!this.options.isWanted()) {
      this.throwFailure();
      await this.traffic.whenChanged();
    }
  }

  /** Looks again whether to go on: the job is wanted, or may go faster. */
  interrupt(): void {
    this.traffic.wake();
  }

  /** The job has come to a stop: guests that wait behind an error learn of it. */
  stopped(): void {
    this.saved.recheck();
  }

  /** For drained sections: nothing goes to the target until `unhold`. */
  hold(): void {
    this.saved.hold();
  }

  unhold(): void {
    this.saved.unhold();
  }

  async whenIdle(): Promise<void> {
    await this.saved.whenIdle();
  }

  /**
   * The copy is over: guests' writes pass, what is in memory is dropped. Settles when no request is in flight; the map
   * then says what the target lacks. Harmless when called again.
   */
  async close(): Promise<void> {
    const { filter } = this.options;
    filter.disable();
    this.saved.close();
    this.traffic.wake();
    await this.saved.whenIdle();
    for (const piece of filter.held.all()) {
      filter.copyMap.set(piece.offset, piece.bytes);
      filter.held.delete(piece);
    }
    if (this.isDisposed) return;
    this.isDisposed = true;
    await this.saved.dispose();
  }

  private giveUp(): void {
    this.options.filter.disable();
    this.saved.close();
    this.options.onFull?.();
    this.traffic.wake();
  }

  private async retryFailed(): Promise<void> {
    if (this.saved.readError) {
      this.saved.retry();
      if (!this.writer.error) this.saved.pump();
    }
    this.readError = undefined;
    if (this.writer.error) {
      // An error that stays must not turn a retrying job into a busy loop.
      await this.options.clock.yield();
      await this.writer.retry();
      this.throwFailure();
      this.saved.pump();
    }
  }

  private throwFailure(): void {
    const readError = this.readError ?? this.saved.readError;
    if (readError) throw new CopyFailure('read', readError);
    if (this.writer.error) throw new CopyFailure('write', this.writer.error);
  }

  private async copyClusters(): Promise<void> {
    const { filter, pacer, limiter, isWanted } = this.options;
    const { copyMap: map } = filter;
    while (!isWanted() && !this.hasFailed) {
      const breath = pacer.breathe(this.traffic);
      if (breath !== undefined) {
        await breath;
        continue;
      }
      if (!this.hasWorker()) {
        await this.traffic.whenChanged();
        continue;
      }
      const run = map.next(this.cursor, map.length);
      if (!run) {
        if (this.cursor === 0) return;
        this.cursor = 0;
        continue;
      }
      if ('ended' in run) {
        await this.passClaims(run.ended);
        continue;
      }
      const delayNs = limiter.delay(0);
      if (delayNs > 0) {
        await this.traffic.sleep(delayNs);
        continue;
      }
      const hot = this.hotRun();
      if (hot) await this.startRequest(hot);
      else await this.startRequest(run, { movesCursor: true });
    }
  }

  private get hasFailed(): boolean {
    return (
      this.readError !== undefined || this.saved.readError !== undefined || this.writer.error !== undefined
    );
  }

  /** What guests write most, unless the hottest regions have nothing left to copy. */
  private hotRun(): Area | undefined {
    const { copyMap, hotRegions } = this.options.filter;
    for (let tries = 0; tries < maxHotTries; tries++) {
      const region = hotRegions.take();
      if (!region) return undefined;
      const run = copyMap.next(region.offset, Math.min(region.offset + region.bytes, copyMap.length));
      if (run && !('ended' in run)) return run;
    }
    return undefined;
  }

  private hasWorker(): boolean {
    const { requests, bytes } = this.traffic;
    return (
      requests < this.options.maxWorkers &&
      this.readers < maxReaders &&
      !this.saved.isPressed &&
      (bytes === 0 || bytes + this.pieceBytes <= this.options.pacer.inFlightBytes(maxInFlightBytes))
    );
  }

  /** Longest request for data. */
  private get pieceBytes(): number {
    const { pacer, filter } = this.options;
    return pacer.pieceBytes(this.chunkBytes, filter.copyMap.clusterBytes);
  }

  /** Behind the cursor there are only clusters that somebody is just reading: looks before it, or waits. */
  private async passClaims(ended: Promise<void>): Promise<void> {
    if (this.cursor > 0) {
      this.cursor = 0;
      return;
    }
    void ended.then(() => this.traffic.wake());
    await this.traffic.whenChanged();
  }

  private async startRequest({ offset, bytes: runBytes }: Area, { movesCursor = false } = {}): Promise<void> {
    const { filter, limiter, progress } = this.options;
    let content: Content;
    /** How much of the target needs none of the zeros. */
    let untouched = 0;
    try {
      content = await this.look(offset, Math.min(runBytes, this.pieceBytes));
      if (content.kind === 'zero' && limiter.isUnlimited && this.isChunkFree()) {
        untouched = await this.untouchedBytes(offset, content.bytes);
        const most = Math.min(runBytes, untouched === content.bytes ? maxUntouchedBytes : maxZeroBytes);
        const further = most > content.bytes ? await this.look(offset, most) : content;
        // What a guest has changed meanwhile it has seen to: no claim will have it.
        if (further.kind === 'zero') content = further;
        if (untouched > 0) untouched = await this.untouchedBytes(offset, content.bytes);
        content = { kind: 'zero', bytes: untouched || Math.min(content.bytes, maxZeroBytes) };
      }
    } catch (error) {
      this.readError = asBlockError(error);
      return;
    }
    if (content.kind === 'zero') content = this.withoutParts(offset, content);
    const claim = filter.copyMap.claim(offset, content.bytes);
    if (!claim) return filter.copyMap.whenFree(offset, content.bytes);
    if (movesCursor) this.cursor = offset + claim.bytes;
    if (content.kind === 'zero' && claim.bytes <= untouched) {
      filter.copyMap.end(claim, true);
      progress.advance(filter.copyMap.progressOf(claim.bytes));
      return;
    }
    limiter.delay(claim.bytes);
    void this.copyClaim(claim, content.kind === 'zero');
  }

  /** What guests have saved of a cluster may be data, although it reads as zeros now. */
  private withoutParts(offset: number, { bytes }: Content): Content {
    const { held, copyMap } = this.options.filter;
    const freeBytes = held.bytesBeforeParts(offset, bytes);
    return freeBytes > 0
      ? { kind: 'zero', bytes: freeBytes }
      : { kind: 'data', bytes: Math.min(bytes, copyMap.clusterBytes) };
  }

  /** How much of the range, from its start on, the target has as zeros that nothing holds. Only where nobody wants zeros written. */
  private async untouchedBytes(offset: number, bytes: number): Promise<number> {
    const { filter, discardSource } = this.options;
    if (discardSource) return 0;
    const { clusters } = filter.copyMap;
    const found = await clusters.firstOfAKind(
      { offset, bytes },
      askUntouched(filter.target.node),
      isUntouched,
    );
    return found.kind ? found.bytes : 0;
  }

  private isChunkFree(): boolean {
    return this.options.maxChunkBytes === 0;
  }

  private look(offset: number, bytes: number): Promise<Content> {
    const { filter } = this.options;
    return contentOf(filter.source.node, filter.copyMap.clusters, offset, bytes, false);
  }

  /** One background request. Never rejects: what goes wrong is left for the loop to find. */
  private async copyClaim(claim: Claim, zero: boolean): Promise<void> {
    const heldBytes = zero ? 0 : claim.bytes;
    this.traffic.begin(heldBytes);
    try {
      await this.moveClaim(claim, zero ? undefined : this.pool.take(claim.bytes));
    } catch (error) {
      this.readError ??= asBlockError(error);
    } finally {
      this.traffic.end(heldBytes);
    }
  }

  private async moveClaim(claim: Claim, buffer: Uint8Array | undefined): Promise<void> {
    const { filter, discardSource } = this.options;
    const { offset, bytes } = claim;
    if (buffer) {
      try {
        const data = buffer.subarray(0, bytes);
        await this.readSource(offset, data);
        await filter.held.overlay(offset, data);
      } catch (error) {
        // First of all: whoever sees the claim gone must see why.
        this.readError ??= asBlockError(error);
        this.pool.give(buffer);
        filter.copyMap.end(claim, false);
        throw error;
      }
    }
    // Writes that pass unsaved may have got into what was read.
    if (filter.isDisabled) return filter.copyMap.end(claim, false);
    const piece = new Piece(offset, bytes, buffer);
    if (!this.holdsClaims) {
      filter.held.add(piece);
      filter.held.dropParts(offset, bytes);
      filter.copyMap.end(claim, true);
    }
    const isWritten = await this.writer.write(piece);
    if (!this.holdsClaims) return;
    if (discardSource && isWritten) await this.discard(offset, bytes);
    filter.copyMap.end(claim, true);
  }

  /** A hint: what cannot be discarded stays. */
  private async discard(offset: number, bytes: number): Promise<void> {
    try {
      await this.options.filter.source.discard(offset, bytes);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }

  private async readSource(offset: number, data: Uint8Array): Promise<void> {
    this.readers++;
    try {
      await this.options.filter.source.read(offset, data);
    } finally {
      this.readers--;
      this.traffic.wake();
    }
  }
}
