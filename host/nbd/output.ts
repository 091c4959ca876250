/**
 * Bytes that are to be sent, in as few pieces as it takes: small ones are gathered, large ones go as they are.
 *
 * Sending costs more for each piece than copying a few kilobytes does.
 */
import { assert } from '../base/assert.ts';
import type { Connection, Outgoing } from '../platform/connection.ts';

/** Room for small pieces, made as it is needed. What was taken is never written to again. */
const roomBytes = 65_536;
/** From here on, a piece is sent from where it is. */
const largeBytes = 16_384;

export class Output {
  private readonly pieces: Outgoing[] = [];
  private room = new Uint8Array(0);
  /** Of the room: what is gathered and not yet a piece begins at `start`. */
  private start = 0;
  private end = 0;
  private bytes = 0;

  /** Bytes that nobody has taken yet. */
  get length(): number {
    return this.bytes;
  }

  /** Adds `bytes` ≤ 64 KiB, to be filled at once. */
  reserve(bytes: number): Uint8Array {
    assert(bytes <= roomBytes, 'small pieces only are gathered');
    if (this.end + bytes > this.room.length) {
      this.finishPiece();
      this.room = new Uint8Array(roomBytes);
      this.start = 0;
      this.end = 0;
    }
    const reserved = this.room.subarray(this.end, this.end + bytes);
    this.end += bytes;
    this.bytes += bytes;
    return reserved;
  }

  /** Takes back the last `bytes` that were reserved. */
  unreserve(bytes: number): void {
    this.end -= bytes;
    this.bytes -= bytes;
  }

  /** Adds bytes that nobody changes before `sent` is told, if ever. */
  add(bytes: Uint8Array, sent?: () => void): void {
    if (bytes.length < largeBytes) {
      if (bytes.length > 0) this.reserve(bytes.length).set(bytes);
      sent?.();
      return;
    }
    this.finishPiece();
    this.pieces.push({ bytes, sent });
    this.bytes += bytes.length;
  }

  /** Sends all that there is. */
  sendTo(connection: Pick<Connection, 'write' | 'writeAll'>): void {
    const pieces = this.take();
    if (connection.writeAll) connection.writeAll(pieces);
    else for (const { bytes, sent } of pieces) connection.write(bytes, sent);
  }

  /** All that there is to send. */
  take(): Outgoing[] {
    this.finishPiece();
    this.bytes = 0;
    return this.pieces.splice(0);
  }

  private finishPiece(): void {
    if (this.end > this.start) this.pieces.push({ bytes: this.room.subarray(this.start, this.end) });
    this.start = this.end;
  }
}
