/**
 * What guests are about to overwrite, kept in memory until the target has taken it: a guest's write waits for its read
 * of the source only, not for the target.
 *
 * Policy. The buffer holds `saveBufferBytes` at most. When it is full a guest waits for room. A target that fails is the
 * job's affair: its on-target-error policy decides, and the data stays here for another attempt. Only when the buffer is
 * full, the target has failed and the job stands still, so that room may never come, does a guest's write fail, with
 * the target's error; in QEMU it does so whenever the target fails.
 *
 * A drained section holds the buffer: nothing new is written to the target, except as long as a guest waits for
 * room, because that guest's request is one that the drained section waits for.
 */
import { Waiters } from '../base/waiters.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { PieceWriter } from './piece-writer.ts';
import type { Piece, Saver } from './saver.ts';

/** Most bytes of old data in memory, per job. */
const saveBufferBytes = 64 << 20;
/** What a run of zeros counts, so that they are bounded too. */
const zeroPieceBytes = 4 << 10;
/** Writes to the target at the same time. */
const maxWriters = 16;

interface SaveBufferOptions {
  pool: BufferPool;
  writer: PieceWriter;
  onSkipped(bytes: number): void;
  /** A write to the target has ended, one way or the other. */
  onChange(): void;
  /** The job stands still: nobody is going to deal with an error of the target now. */
  isStopped(): boolean;
  limitBytes?: number;
}

export class SaveBuffer implements Saver {
  private readonly pool: BufferPool;
  private readonly writer: PieceWriter;
  private readonly limitBytes: number;
  private queue: Piece[] = [];
  /** What counts against the limit, until it was written. */
  private readonly held = new Map<Piece, number>();
  private usedBytes = 0;
  private writers = 0;
  private holdCount = 0;
  private closed = false;
  private readonly roomWaiters = new Waiters();
  private readonly idleWaiters = new Waiters();

  constructor(private readonly options: SaveBufferOptions) {
    this.pool = options.pool;
    this.writer = options.writer;
    this.limitBytes = options.limitBytes ?? saveBufferBytes;
  }

  async reserve(bytes: number): Promise<Uint8Array> {
    await this.whenRoom(bytes);
    const buffer = this.pool.take(bytes);
    this.usedBytes += buffer.length;
    return buffer;
  }

  release(buffer: Uint8Array): void {
    this.usedBytes -= buffer.length;
    this.pool.give(buffer);
    this.roomWaiters.wake();
  }

  async save(piece: Piece): Promise<void> {
    if (this.closed) return;
    if (!piece.buffer) {
      await this.whenRoom(zeroPieceBytes);
      this.usedBytes += zeroPieceBytes;
    }
    this.held.set(piece, piece.buffer?.length ?? zeroPieceBytes);
    this.queue.push(piece);
    this.pump();
  }

  /** A piece, of this buffer or not, is on the target. */
  written(piece: Piece): void {
    const bytes = this.held.get(piece);
    if (bytes === undefined) return;
    this.held.delete(piece);
    this.usedBytes -= bytes;
    this.roomWaiters.wake();
  }

  skipped(bytes: number): void {
    this.options.onSkipped(bytes);
  }

  /** Everything saved so far has been handed to the target, or failed. */
  get isEmpty(): boolean {
    return this.queue.length === 0 && this.writers === 0;
  }

  /** Those who wait for room look again: the job has stopped. */
  recheck(): void {
    this.roomWaiters.wake();
  }

  /** Starts writing again after an error was dealt with. */
  pump(): void {
    while (this.queue.length > 0 && this.writers < maxWriters && this.mayWrite()) {
      const piece = this.queue.shift()!; // the queue is not empty
      this.writers++;
      void this.write(piece);
    }
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

  /** Nobody wants the data any more: lets all waiters go. Returns what was not yet on its way to the target. */
  close(): readonly Piece[] {
    this.closed = true;
    const dropped = this.queue;
    this.queue = [];
    this.roomWaiters.wake();
    return dropped;
  }

  private mayWrite(): boolean {
    if (this.writer.error) return false;
    return this.holdCount === 0 || !this.roomWaiters.isEmpty;
  }

  private async write(piece: Piece): Promise<void> {
    await this.writer.write(piece);
    this.writers--;
    // Those who wait for room must hear of a failure.
    if (this.writer.error) this.roomWaiters.wake();
    this.pump();
    if (this.writers === 0) this.idleWaiters.wake();
    this.options.onChange();
  }

  private async whenRoom(bytes: number): Promise<void> {
    while (!this.closed && this.usedBytes > 0 && this.usedBytes + bytes > this.limitBytes) {
      if (this.writer.error && this.options.isStopped()) throw this.writer.error;
      const room = this.roomWaiters.wait();
      this.pump();
      await room;
    }
  }
}
