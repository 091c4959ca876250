/**
 * Bytes that have arrived and are not yet understood, in the pieces in which they came.
 *
 * What is asked for is handed out whole or not at all. Nothing is copied that came in one piece: what was handed out
 * shares its memory with what was appended, which must not change.
 */
export class Input {
  /** The first has `start` bytes that were handed out before. */
  private readonly pieces: Uint8Array[] = [];
  private start = 0;
  private bytes = 0;

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
    const found = this.peek(bytes);
    if (found) this.skip(bytes);
    return found;
  }

  /** As `take`, and they stay. */
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

  /** Moves what is there to the start of `target`, as far as it fits. Returned: how much that was. */
  moveTo(target: Uint8Array): number {
    let moved = 0;
    while (moved < target.length) {
      const first = this.pieces[0];
      if (!first) break;
      const part = first.subarray(this.start, this.start + target.length - moved);
      target.set(part, moved);
      moved += part.length;
      this.skip(part.length);
    }
    return moved;
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
