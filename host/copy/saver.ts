/**
 * Savers: where the old data goes that a guest's write is about to overwrite (specification: jobs, section 7).
 *
 * The filter in front of the source reads the data and hands it over; the saver decides when the guest may go on. Without
 * a job it goes straight to the target, and the guest waits for that, as in QEMU; a backup job keeps it in memory first
 * (save-buffer.ts).
 */
import type { Edge } from '../block/edge.ts';
import type { CopyMap } from './copy-map.ts';

/** Old data on its way to the target. */
export interface Piece {
  readonly offset: number;
  readonly bytes: number;
  /** Absent: zeros. Longer than `bytes` when it came from a pool. */
  readonly buffer: Uint8Array | undefined;
}

/** Takes over what the guest is about to overwrite. */
export interface Saver {
  /** Room for `bytes` of data; waits while there is none. Errors: there will be none, the guest's write must fail. */
  reserve(bytes: number): Promise<Uint8Array>;
  /** Gives back what `reserve` gave and was not needed. */
  release(buffer: Uint8Array): void;
  /** Settles when the guest may go on. */
  save(piece: Piece): Promise<void>;
  /** So much turned out not to be part of the copy. */
  skipped(bytes: number): void;
}

/** Writes old data to the target while the guest waits. */
export class DirectSaver implements Saver {
  constructor(private readonly target: Edge) {}

  async reserve(bytes: number): Promise<Uint8Array> {
    return new Uint8Array(bytes);
  }

  release(): void {}

  skipped(): void {}

  async save({ offset, bytes, buffer }: Piece): Promise<void> {
    if (buffer) await this.target.write(offset, buffer.subarray(0, bytes));
    else await this.target.writeZeroes(offset, bytes);
  }
}

/** What a background copy needs of the filter that stands in front of its source. */
export interface CopySource {
  readonly copyMap: CopyMap;
  readonly source: Edge;
  readonly target: Edge;
  saver: Saver;
  /** The copy is over: everything passes. */
  disable(): void;
}
