/**
 * What guests are about to overwrite, kept until the target has taken it: a guest's write waits for its read of the source
 * only, not for the target (specification: jobs, section 7).
 *
 * A write has saved the units of 4 KiB that it touches. Such parts are completed to clusters here, from the source, before
 * they go to the target; what covers whole clusters goes as it is. Whoever copies a cluster in the background meanwhile
 * takes the parts of it along. A cluster that is here in all its parts counts as copied from then on.
 *
 * | where old data is  | how it gets on                                                                   |
 * | ------------------ | -------------------------------------------------------------------------------- |
 * | memory             | to the target, oldest first; by spiller.ts when half of the buffer is used       |
 * | spill file, if any | to the target, when nothing is left in memory that could go there                |
 *
 * When there is no room a guest waits, unless `giveUp` is there to end it all. A target that fails is for others to deal
 * with: the data stays here for another attempt, and those who wait for room ask `onStuck` whether there is any hope.
 *
 * A drained section holds the buffer: nothing new is written to the target, except as long as a guest waits for
 * room, because that guest's request is one that the drained section waits for.
 */
import { asBlockError, type BlockError } from '../base/errors.ts';
import { roundDown } from '../base/sectors.ts';
import { Waiters } from '../base/waiters.ts';
import type { Area } from '../core/bitmap.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Claim } from './copy-map.ts';
import { Piece } from './piece.ts';
import type { PieceWriter } from './piece-writer.ts';
import type { CopySource, Room, Saver } from './saver.ts';
import type { SpillSlots } from './spill-file.ts';
import type { Spiller } from './spiller.ts';

/** Most bytes of old data in memory when nobody says. */
export const defaultBufferBytes = 64 << 20;
/** What a run of zeros counts, so that they are bounded too. */
const zeroPieceBytes = 4 << 10;
/** Writes to the target at the same time, and clusters that they complete: one at least. */
const maxWriters = 16;
const maxCompletingBytes = 64 << 20;
/** Pieces go to the spill file together: so many bytes of them, but never more than a share of the buffer. */
const spilledTogetherBytes = 1 << 20;
const spilledTogetherShare = 1 / 8;
const minUnitBytes = 4 << 10;
/** Looking for a unit means going through those of its cluster. */
const maxUnitsPerCluster = 512;
/** Shares of buffer and spill file together at which somebody is told that they fill up, and may be told again. */
const alarmShare = 0.8;
const calmShare = 0.6;
/** The share from which on the background leaves the target to what is saved. */
const pressedShare = 0.5;

/** Up to which more is saved than a write needs: of the buffer, half of which is free when the spill file keeps up; of that file. */
const roomyBufferShare = 3 / 4;
const roomySpillShare = 1 / 2;

/** How full it is, in bytes. */
export interface BufferFill {
  readonly bufferBytes: number;
  readonly bufferedBytes: number;
  /** 0: there is no spill file. */
  readonly spillBytes: number;
  readonly spilledBytes: number;
}

interface SaveBufferOptions {
  filter: CopySource;
  pool: BufferPool;
  writer: PieceWriter;
  limitBytes: number;
  spill: Spiller | undefined;
  /** Guests wait for whoever copies the cluster. */
  wholeClusters?: boolean;
  onSkipped(bytes: number): void;
  /** There is less here, or something has gone wrong. */
  onChange(): void;
  /** Nothing goes to the target after an error, and a guest needs room. Rejects: there will be none. Attempts count from 0. */
  onStuck(error: BlockError, attempt: number): Promise<void>;
  /** Called when neither buffer nor spill file has room: nobody is to wait. Absent: guests wait. */
  giveUp?: (() => void) | undefined;
  /** Buffer and spill file fill up. */
  onAlarm(fill: BufferFill): void;
  /** Something is on its way to the target, or nothing any more. */
  onBusy?(isBusy: boolean): void;
}

export class SaveBuffer implements Saver {
  readonly unitBytes: number;
  /** Why a cluster could not be completed, or what was spilled not be read, since the last `retry`. */
  readError: BlockError | undefined;
  private readonly pool: BufferPool;
  private readonly writer: PieceWriter;
  /** What waits to go to the target: whole pieces, and offsets of clusters that have parts. */
  private readonly inMemory = new Set<Piece>();
  private readonly incomplete = new Set<number>();
  private readonly inSpill = new Set<Piece>();
  private pieces = 0;
  /** In memory, reserved room included. */
  private usedBytes = 0;
  private completingBytes = 0;
  private writers = 0;
  private holdCount = 0;
  private closed = false;
  private isAlarmed = false;
  private isBusy = false;
  private readonly roomWaiters = new Waiters();
  private readonly idleWaiters = new Waiters();

  constructor(private readonly options: SaveBufferOptions) {
    this.pool = options.pool;
    this.writer = options.writer;
    const { clusterBytes } = options.filter.copyMap;
    const leastBytes = options.wholeClusters ? clusterBytes : minUnitBytes;
    this.unitBytes = Math.min(clusterBytes, Math.max(leastBytes, clusterBytes / maxUnitsPerCluster));
    options.spill?.serve({
      taken: (piece) => this.inMemory.delete(piece),
      spilled: (piece, slots) => this.spilled(piece, slots),
      kept: (piece) => this.kept(piece),
      moved: () => this.moved(),
    });
  }

  get fill(): BufferFill {
    const { limitBytes, spill } = this.options;
    return {
      bufferBytes: limitBytes,
      bufferedBytes: this.usedBytes,
      spillBytes: spill?.maxBytes ?? 0,
      spilledBytes: spill?.usedBytes ?? 0,
    };
  }

  /** What is saved has more need of the target than what can still be read from the source. */
  get isPressed(): boolean {
    return shareOf(this.fill) > pressedShare;
  }

  /** Everything that came here is on the target. */
  get isEmpty(): boolean {
    return this.pieces === 0;
  }

  // For guests' writes.

  async reserve(bytes: number, content: 'data' | 'zero'): Promise<Room> {
    await this.whenRoom(content === 'data' ? bytes : zeroPieceBytes);
    return this.roomFor(content === 'data' ? this.pool.take(bytes) : undefined);
  }

  reserveNow(bytes: number): Room | undefined {
    // Those who wait come first.
    if (!this.roomWaiters.isEmpty || this.lacksRoom(bytes)) return undefined;
    return this.roomFor(this.pool.take(bytes));
  }

  /** Memory alone is soon full of what no guest ever writes to. */
  get hasRoomForClusters(): boolean {
    const { spill, limitBytes } = this.options;
    return (
      spill !== undefined &&
      this.usedBytes < limitBytes * roomyBufferShare &&
      spill.usedBytes < spill.maxBytes * roomySpillShare
    );
  }

  private roomFor(buffer: Uint8Array | undefined): Room {
    this.usedBytes += roomOf(buffer);
    return { buffer };
  }

  release({ buffer }: Room): void {
    if (buffer) this.pool.give(buffer);
    this.giveRoom(roomOf(buffer));
  }

  async save(offset: number, bytes: number, { buffer }: Room): Promise<void> {
    const piece = new Piece(offset, bytes, buffer);
    piece.roomBytes = roomOf(buffer);
    this.inMemory.add(piece);
    this.keep(piece);
  }

  savePart(offset: number, bytes: number, { buffer }: Room): void {
    const piece = new Piece(offset, bytes, buffer, true);
    piece.roomBytes = roomOf(buffer);
    const { clusterBytes, length } = this.options.filter.copyMap;
    const start = roundDown(offset, clusterBytes);
    this.incomplete.add(start);
    this.keep(piece);
    this.endWhenWhole(start, Math.min(clusterBytes, length - start));
  }

  /** Nothing of a cluster that is here in all its parts has to be saved any more. */
  private endWhenWhole(offset: number, bytes: number): void {
    const { copyMap, held } = this.options.filter;
    if (!held.hasAllParts(offset, bytes)) return;
    // Whoever has a claim takes the parts along.
    const claim = copyMap.claim(offset, bytes);
    if (claim) copyMap.end(claim, true);
  }

  skipped(bytes: number): void {
    this.options.onSkipped(bytes);
  }

  private keep(piece: Piece): void {
    if (piece.buffer) this.options.spill?.offer(piece);
    this.own(piece);
    this.pump();
    this.spill();
    this.watchFill();
  }

  private own(piece: Piece): void {
    this.pieces++;
    piece.onGone = () => this.forget(piece);
    if (this.closed) this.forget(piece);
    else this.options.filter.held.add(piece);
  }

  private forget(piece: Piece): void {
    this.pieces--;
    this.inMemory.delete(piece);
    this.inSpill.delete(piece);
    this.options.spill?.withdraw(piece);
    const { buffer, spilled, roomBytes } = piece;
    // The buffer of a whole piece is the writer's to give back.
    if (piece.isPart && buffer) this.pool.give(buffer);
    spilled?.release();
    piece.roomBytes = 0;
    this.giveRoom(roomBytes);
  }

  /** What is on its way to the target counts, but never waits: guests would wait for it in vain. */
  private takeRoom(piece: Piece): void {
    piece.roomBytes = roomOf(piece.buffer);
    this.usedBytes += piece.roomBytes;
  }

  private giveRoom(bytes: number): void {
    this.usedBytes -= bytes;
    this.watchFill();
    this.roomWaiters.wake();
    this.options.onChange();
  }

  private watchFill(): void {
    const share = shareOf(this.fill);
    if (share < calmShare) this.isAlarmed = false;
    if (share >= alarmShare) this.alarm();
  }

  private alarm(): void {
    if (this.isAlarmed) return;
    this.isAlarmed = true;
    this.options.onAlarm(this.fill);
  }

  private async whenRoom(bytes: number): Promise<void> {
    const { giveUp, onStuck } = this.options;
    let attempts = 0;
    while (this.lacksRoom(bytes)) {
      const room = this.roomWaiters.wait();
      this.spill();
      // Large pieces do not fit long before that.
      if (this.isFull) this.alarm();
      if (giveUp && this.isFull) return giveUp();
      const error = this.writer.error ?? this.readError;
      if (error) await onStuck(error, attempts++);
      this.pump();
      await room;
    }
  }

  private lacksRoom(bytes: number): boolean {
    return !this.closed && this.usedBytes > 0 && this.usedBytes + bytes > this.options.limitBytes;
  }

  /** When there is no room, none is being made by the spill file either. */
  private get isFull(): boolean {
    return !this.options.spill?.isBusy;
  }

  /** Those who wait for room look again: the job has stopped. */
  recheck(): void {
    this.roomWaiters.wake();
  }

  // To the target.

  /** Starts what can be started: room was made, or an error was dealt with. */
  pump(): void {
    while (this.writers < maxWriters && this.mayWrite() && this.startNext());
  }

  /** Forgets why something could not be read. */
  retry(): void {
    this.readError = undefined;
  }

  hold(): void {
    this.holdCount++;
  }

  unhold(): void {
    this.holdCount--;
    this.pump();
  }

  /** Settles when nothing is on its way to the target. */
  async whenIdle(): Promise<void> {
    while (this.writers > 0) await this.idleWaiters.wait();
  }

  /** Nobody wants the data any more: lets all waiters go. What the target lacks stays held. Harmless when called again. */
  close(): void {
    this.closed = true;
    this.inMemory.clear();
    this.incomplete.clear();
    this.inSpill.clear();
    this.options.spill?.stop();
    this.roomWaiters.wake();
  }

  /** Closed, idle, and nobody reads any more what is held: the spill file goes. */
  async dispose(): Promise<void> {
    await this.options.spill?.close();
  }

  private mayWrite(): boolean {
    if (this.writer.error || this.readError) return false;
    return this.holdCount === 0 || !this.roomWaiters.isEmpty;
  }

  private startNext(): boolean {
    for (const piece of this.inMemory) {
      this.inMemory.delete(piece);
      this.options.spill?.withdraw(piece);
      void this.run(() => this.writer.write(piece));
      return true;
    }
    return this.startCompleting() || this.startLoading();
  }

  private startCompleting(): boolean {
    const { copyMap, held } = this.options.filter;
    const { clusterBytes } = copyMap;
    if (this.completingBytes > 0 && this.completingBytes + clusterBytes > maxCompletingBytes) return false;
    for (const offset of this.incomplete) {
      this.incomplete.delete(offset);
      const bytes = Math.min(clusterBytes, copyMap.length - offset);
      if (held.parts(offset, bytes).length === 0) continue;
      const claim = copyMap.claim(offset, bytes);
      if (claim || !copyMap.isLeft(offset, bytes)) {
        void this.run(() => this.complete({ offset, bytes }, claim));
        return true;
      }
      void this.completeLater(offset, bytes);
    }
    return false;
  }

  /** Whoever is copying the cluster takes the parts along, unless that fails. */
  private async completeLater(offset: number, bytes: number): Promise<void> {
    const { copyMap, held } = this.options.filter;
    await copyMap.whenFree(offset, bytes);
    if (this.closed || held.parts(offset, bytes).length === 0) return;
    this.incomplete.add(offset);
    this.pump();
  }

  /** Without a claim: all parts of the cluster are here, and it counts as copied. */
  private async complete({ offset, bytes }: Area, claim: Claim | undefined): Promise<void> {
    const { copyMap, source, held } = this.options.filter;
    const end = (isCopied: boolean): void => claim && copyMap.end(claim, isCopied);
    const buffer = this.pool.take(bytes);
    this.completingBytes += bytes;
    try {
      const data = buffer.subarray(0, bytes);
      if (!held.hasAllParts(offset, bytes)) await source.read(offset, data);
      await held.overlay(offset, data);
      if (this.closed) return end(false);
      const piece = new Piece(offset, bytes, buffer);
      this.takeRoom(piece);
      this.own(piece);
      held.dropParts(offset, bytes);
      end(true);
      await this.writer.write(piece);
    } catch (error) {
      this.readError ??= asBlockError(error);
      this.incomplete.add(offset);
      end(false);
    } finally {
      this.completingBytes -= bytes;
    }
  }

  private startLoading(): boolean {
    for (const piece of this.inSpill) {
      this.inSpill.delete(piece);
      void this.run(() => this.load(piece));
      return true;
    }
    return false;
  }

  private async load(piece: Piece): Promise<void> {
    const buffer = this.pool.take(piece.bytes);
    try {
      await piece.copyTo(piece.offset, buffer.subarray(0, piece.bytes));
    } catch (error) {
      this.readError ??= asBlockError(error);
      this.pool.give(buffer);
      if (!this.closed) this.inSpill.add(piece);
      return;
    }
    if (this.closed) return;
    piece.spilled?.release();
    piece.spilled = undefined;
    piece.buffer = buffer;
    this.takeRoom(piece);
    this.roomWaiters.wake();
    await this.writer.write(piece);
  }

  private async run(act: () => Promise<unknown>): Promise<void> {
    this.writers++;
    this.setBusy(true);
    await act();
    // Those who wait for room must hear of a failure.
    if (this.writer.error || this.readError) this.roomWaiters.wake();
    this.writers--;
    this.pump();
    if (this.writers === 0) {
      this.setBusy(false);
      this.idleWaiters.wake();
    }
    this.options.onChange();
  }

  private setBusy(isBusy: boolean): void {
    if (this.isBusy === isBusy) return;
    this.isBusy = isBusy;
    this.options.onBusy?.(isBusy);
  }

  // To the spill file.

  /** Half of the buffer is for what comes next, and all of it when somebody waits. */
  private spill(): void {
    const { spill, limitBytes } = this.options;
    if (!this.roomWaiters.isEmpty) spill?.relieve(this.usedBytes, 0);
    else
      spill?.relieve(
        this.usedBytes - limitBytes / 2,
        Math.min(spilledTogetherBytes, limitBytes * spilledTogetherShare),
      );
  }

  private spilled(piece: Piece, slots: SpillSlots): void {
    const { roomBytes, buffer, isPart } = piece;
    if (this.closed || !this.options.filter.held.has(piece)) {
      slots.release();
      return;
    }
    piece.spilled = slots;
    piece.buffer = undefined;
    piece.roomBytes = 0;
    if (buffer) this.pool.give(buffer);
    if (!isPart) this.inSpill.add(piece);
    this.usedBytes -= roomBytes;
  }

  /** The spill file has no room for it. */
  private kept(piece: Piece): void {
    if (this.closed || !this.options.filter.held.has(piece)) return;
    this.options.spill?.offer(piece);
    if (!piece.isPart) this.inMemory.add(piece);
  }

  private moved(): void {
    this.giveRoom(0);
    this.pump();
    this.spill();
  }
}

/** At least what a pool gives, so that the smallest pieces are counted as what they take. */
function roomOf(buffer: Uint8Array | undefined): number {
  return buffer?.length ?? zeroPieceBytes;
}

function shareOf({ bufferBytes, bufferedBytes, spillBytes, spilledBytes }: BufferFill): number {
  return (bufferedBytes + spilledBytes) / (bufferBytes + spillBytes);
}
