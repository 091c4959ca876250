/**
 * Savers: where the old data goes that a guest's write is about to overwrite (specification: jobs, section 7).
 *
 * The filter in front of the source reads the data and hands it over; the saver decides when the guest may go on. Without
 * a buffer it goes straight to the target, and the guest waits for that, as in QEMU; otherwise it is kept in memory first
 * (save-buffer.ts).
 */
import type { Edge } from '../block/edge.ts';
import type { CopyMap } from './copy-map.ts';
import type { HeldPieces } from './held-pieces.ts';
import type { HotRegions } from './hot-regions.ts';
import { Piece } from './piece.ts';
import type { BufferFill } from './save-buffer.ts';

/** What a guest's write needs before it claims what it saves: nobody waits for room with a claim in hand. */
export interface Room {
  /** For data; absent: for zeros. */
  readonly buffer: Uint8Array | undefined;
}

/** Takes over what the guest is about to overwrite. */
export interface Saver {
  /**
   * Bytes that a write needs to have saved around itself, a power of two; absent: whole clusters, and the guest waits for
   * whoever is copying them.
   */
  readonly unitBytes?: number | undefined;
  /** There is so much room that a cluster had better be saved whole, where that takes no waiting, than unit by unit. */
  readonly hasRoomForClusters?: boolean;
  /** Absent: nothing is kept. */
  readonly fill?: BufferFill;
  /** Room for `bytes` of data or zeros; waits while there is none. Errors: there will be none, the guest's write must fail. */
  reserve(bytes: number, content: 'data' | 'zero'): Promise<Room>;
  /** As `reserve`, for data. Undefined: that takes waiting. */
  reserveNow?(bytes: number): Room | undefined;
  /** Gives back what `reserve` gave and was not needed. */
  release(room: Room): void;
  /** Takes over what a claim covers. Settles when the guest may go on. */
  save(offset: number, bytes: number, room: Room): Promise<void>;
  /** Takes over units of one cluster, which stays to be copied. */
  savePart?(offset: number, bytes: number, room: Room): void;
  /** So much turned out not to be part of the copy. */
  skipped(bytes: number): void;
}

/** Writes old data to the target while the guest waits. */
export class DirectSaver implements Saver {
  constructor(
    private readonly target: Edge,
    private readonly onWritten: (piece: Piece) => void = () => {},
    readonly skipped: (bytes: number) => void = () => {},
  ) {}

  async reserve(bytes: number, content: 'data' | 'zero'): Promise<Room> {
    return { buffer: content === 'data' ? new Uint8Array(bytes) : undefined };
  }

  release(): void {}

  async save(offset: number, bytes: number, { buffer }: Room): Promise<void> {
    if (buffer) await this.target.write(offset, buffer.subarray(0, bytes));
    else await this.target.writeZeroes(offset, bytes);
    this.onWritten(new Piece(offset, bytes, buffer));
  }
}

/** What a background copy needs of the filter that stands in front of its source. */
export interface CopySource {
  readonly copyMap: CopyMap;
  /** What is saved and not on the target yet. */
  readonly held: HeldPieces;
  readonly hotRegions: HotRegions;
  readonly source: Edge;
  readonly target: Edge;
  saver: Saver;
  /** Writes pass without their old data being saved. */
  readonly isDisabled: boolean;
  /** The copy is over: everything passes, and nobody can read the point in time any more. */
  disable(): void;
}
