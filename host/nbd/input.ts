/**
 * Bytes that have arrived and are not yet understood, in the pieces in which they came.
 *
 * What is asked for is handed out whole or not at all. Nothing is copied that came in one piece: what was handed out
 * shares its memory with what was appended, which must not change. A connection that can put bytes where they are wanted
 * asks for `room`: then a long payload comes straight to its place, and what was only looked at is in memory that is used again.
 */
import type { Destination } from '../platform/connection.ts';

/** For what comes by `room`. */
const chunkBytes = 65_536;
/** What is left of a chunk is given up when it is less. */
const minRoomBytes = 16_384;
/** Behind a target of that much another one is likely: what comes before it is short, and what comes with that is copied. */
const bulkBytes = 65_536;
const bulkRoomBytes = 4096;

export class Input implements Destination {
  /** The first has `start` bytes that were handed out before. */
  private readonly pieces: Uint8Array[] = [];
  private start = 0;
  private bytes = 0;
  private chunk = new Uint8Array(0);
  /** Of the chunk. */
  private used = 0;
  /** Somebody keeps a part of the chunk. */
  private isKept = false;
  private isBulk = false;
  /** What `fill` is at. */
  private target: Uint8Array | undefined;
  private targetFilled = 0;
  /** What was given as room last is the rest of the target. */
  private isRoomOfTarget = false;

  get length(): number {
    return this.bytes;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.bytes += bytes.length;
  }

  /** The next `bytes`, or undefined while there are fewer. */
  take(bytes: number): Uint8Array | undefined {
    const found = this.read(bytes);
    if (found) this.isKept = true;
    return found;
  }

  /** As `take`, to be looked at before there is anything else. */
  read(bytes: number): Uint8Array | undefined {
    const found = this.peek(bytes);
    if (found) this.skip(bytes);
    return found;
  }

  /** As `read`, and they stay. */
  peek(bytes: number): Uint8Array | undefined {
    if (bytes > this.bytes) return undefined;
    const first = this.pieces[0];
    if (!first) return new Uint8Array(0);
    if (this.start + bytes <= first.length) return first.subarray(this.start, this.start + bytes);
    const whole = new Uint8Array(bytes);
    let filled = 0;
    for (let index = 0; filled < bytes; index++) {
      const piece = this.pieces[index]!; // there are `bytes` in all of them
      const part = piece.subarray(index === 0 ? this.start : 0);
      whole.set(part.subarray(0, bytes - filled), filled);
      filled += Math.min(part.length, bytes - filled);
    }
    return whole;
  }

  /**
   * Whether `target` is filled with what comes next. If not, more has to arrive: then it is to be called again with the
   * same one, and nothing else is taken before.
   */
  fill(target: Uint8Array): boolean {
    if (target !== this.target) this.targetFilled = 0;
    this.target = target;
    while (this.targetFilled < target.length) {
      const first = this.pieces[0];
      if (!first) return false;
      const part = first.subarray(this.start, this.start + target.length - this.targetFilled);
      target.set(part, this.targetFilled);
      this.targetFilled += part.length;
      this.skip(part.length);
    }
    this.target = undefined;
    this.isBulk = target.length >= bulkBytes;
    return true;
  }

  room(): Uint8Array {
    this.isRoomOfTarget =
      this.target !== undefined && this.targetFilled < this.target.length && this.bytes === 0;
    if (this.isRoomOfTarget) return this.target!.subarray(this.targetFilled); // so it was just said
    if (this.bytes === 0 && !this.isKept) this.used = 0;
    if (this.chunk.length - this.used < minRoomBytes) {
      this.chunk = new Uint8Array(chunkBytes);
      this.used = 0;
      this.isKept = false;
    }
    return this.chunk.subarray(this.used, this.isBulk ? this.used + bulkRoomBytes : chunkBytes);
  }

  filled(bytes: number): void {
    if (this.isRoomOfTarget) {
      this.targetFilled += bytes;
      return;
    }
    this.append(this.chunk.subarray(this.used, this.used + bytes));
    this.used += bytes;
    if (bytes === bulkRoomBytes) this.isBulk = false;
  }

  /** Drops the next `bytes`, or all that there are. Returned: how many that was. */
  skip(bytes: number): number {
    const dropped = Math.min(bytes, this.bytes);
    this.bytes -= dropped;
    this.start += dropped;
    for (let first = this.pieces[0]; first && this.start >= first.length; first = this.pieces[0]) {
      this.start -= first.length;
      this.pieces.shift();
    }
    return dropped;
  }

  clear(): void {
    this.skip(this.bytes);
  }
}
