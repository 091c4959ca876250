/**
 * Moves old data from memory to the spill file: the oldest first, and many pieces in one write, because that is far cheaper
 * than one each, and leaves guests' requests alone while it goes on (specification: jobs, section 7).
 *
 * A piece is offered here as long as nobody else is about to take it out of memory. What the file has no room for stays in
 * memory, and is offered again.
 */
import { Waiters } from '../base/waiters.ts';
import type { Platform } from '../platform/platform.ts';
import type { Piece } from './piece.ts';
import { SpillFile, type SpillOptions, type SpillSlots } from './spill-file.ts';

/** Writes at the same time. Few: a slow disk blocks threads that guests' requests need. */
const maxWrites = 2;
const maxWriteBytes = 1 << 20;

/** Whose memory it is. */
interface SpillOwner {
  /** The piece is on its way; nobody else is to take it meanwhile. */
  taken(piece: Piece): void;
  /** The piece is where `slots` say. */
  spilled(piece: Piece, slots: SpillSlots): void;
  /** There was no room for the piece: it is still where it was. */
  kept(piece: Piece): void;
  /** A write is over, and all that it moved has been told. */
  moved(): void;
}

export class Spiller {
  private readonly offered = new Set<Piece>();
  private owner: SpillOwner | undefined;
  private writes = 0;
  private movingBytes = 0;
  private readonly idleWaiters = new Waiters();

  private constructor(private readonly file: SpillFile) {}

  /** Errors: as those of the file. */
  static async open(platform: Platform, options: SpillOptions): Promise<Spiller> {
    return new Spiller(await SpillFile.open(platform, options));
  }

  /** Once, before anything is offered. */
  serve(owner: SpillOwner): void {
    this.owner = owner;
  }

  get maxBytes(): number {
    return this.file.maxBytes;
  }

  get usedBytes(): number {
    return this.file.usedBytes;
  }

  get isBusy(): boolean {
    return this.writes > 0;
  }

  /** It has a buffer. */
  offer(piece: Piece): void {
    this.offered.add(piece);
  }

  withdraw(piece: Piece): void {
    this.offered.delete(piece);
  }

  /** Begins to move what is offered until `excessBytes` of memory are free again; less than `leastBytes` are not worth it. */
  relieve(excessBytes: number, leastBytes: number): void {
    for (;;) {
      const bytes = Math.min(maxWriteBytes, excessBytes - this.movingBytes);
      if (bytes <= 0 || bytes < leastBytes || this.writes === maxWrites || this.file.isFull) return;
      const batch = this.takeBatch(bytes);
      if (batch.length === 0) return;
      void this.move(batch);
    }
  }

  /** Nothing is moved any more that has not begun. */
  stop(): void {
    this.offered.clear();
  }

  async close(): Promise<void> {
    while (this.writes > 0) await this.idleWaiters.wait();
    await this.file.close();
  }

  private takeBatch(leastBytes: number): Piece[] {
    const batch: Piece[] = [];
    let bytes = 0;
    for (const piece of this.offered) {
      if (bytes >= leastBytes) break;
      this.offered.delete(piece);
      this.owner?.taken(piece);
      batch.push(piece);
      bytes += piece.roomBytes;
    }
    return batch;
  }

  private async move(batch: readonly Piece[]): Promise<void> {
    const bytes = batch.reduce((sum, { roomBytes }) => sum + roomBytes, 0);
    this.writes++;
    this.movingBytes += bytes;
    const stored = await this.file.store(batch.map((piece) => piece.buffer!.subarray(0, piece.bytes))); // what is offered has one
    this.writes--;
    this.movingBytes -= bytes;
    for (const [index, piece] of batch.entries()) {
      const slots = stored[index];
      if (slots) this.owner?.spilled(piece, slots);
      else this.owner?.kept(piece);
    }
    if (this.writes === 0) this.idleWaiters.wake();
    this.owner?.moved();
  }
}
