/**
 * Buffers that are used again: by size, rounded up to a power of two. What a burst needed beyond the limit goes back to
 * the garbage collector, large buffers first: small ones are wanted again soonest, and by those who can wait least.
 */

const minBytes = 4 << 10;
/** Bytes kept for later use. */
const keptBytesLimit = 32 << 20;

export class BufferPool {
  private readonly free = new Map<number, Uint8Array[]>();
  private keptBytes = 0;

  /** At least `bytes` long, with any content. */
  take(bytes: number): Uint8Array {
    const size = sizeClass(bytes);
    const buffer = this.free.get(size)?.pop();
    if (!buffer) return new Uint8Array(size);
    this.keptBytes -= size;
    return buffer;
  }

  give(buffer: Uint8Array): void {
    const size = buffer.length;
    while (this.keptBytes + size > keptBytesLimit) if (!this.dropLarger(size)) return;
    const list = this.free.get(size);
    if (list) list.push(buffer);
    else this.free.set(size, [buffer]);
    this.keptBytes += size;
  }

  /** False: there is none. */
  private dropLarger(size: number): boolean {
    let largest = size;
    for (const [kept, { length }] of this.free) if (length > 0) largest = Math.max(largest, kept);
    if (largest === size) return false;
    this.free.get(largest)!.pop(); // it was found there
    this.keptBytes -= largest;
    return true;
  }
}

function sizeClass(bytes: number): number {
  let size = minBytes;
  while (size < bytes) size *= 2;
  return size;
}
