/**
 * How many chunks one transfer should bring: many where a transfer is quick and its beginning costs most, few where the
 * connection is slow and a transfer must end before the timeout.
 */
import { webChunkBytes } from './chunk-size.ts';

/** Least and most chunks of a transfer: 64 KiB and 1 MiB. */
export const minRunChunks = 1;
export const maxRunChunks = 16;
/** Chunks of the first transfers: 256 KiB. */
export const firstRunChunks = 4;
/** A full transfer in less makes the next ones longer, one in more makes them shorter. */
const quickNs = 300_000_000;
const slowNs = 1_000_000_000;

export class RunLength {
  private now = firstRunChunks;

  get chunks(): number {
    return this.now;
  }

  /** A transfer has ended well. */
  took(bytes: number, ns: number): void {
    const isFull = bytes >= this.now * webChunkBytes;
    if (isFull && ns < quickNs) this.now = Math.min(maxRunChunks, this.now * 2);
    else if (ns > slowNs) this.now = Math.max(minRunChunks, Math.floor(this.now / 2));
  }
}
