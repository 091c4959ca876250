/**
 * Writes pieces of old data to the target: zeros as write-zeroes, and with `compress` one compressed cluster at a time.
 *
 * A write that fails loses nothing: the piece stays here with its data, `error` says what happened, and `retry` makes
 * it a new attempt, because the source may have been overwritten since.
 */
import { asBlockError, type BlockError } from '../base/errors.ts';
import { clusterBytesOf } from '../block/cluster-bytes.ts';
import type { Edge } from '../block/edge.ts';
import { isZero } from '../core/scan.ts';
import { copyPiece } from '../trace/events.ts';
import { measure } from '../trace/measure.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Piece } from './piece.ts';

interface PieceWriterOptions {
  target: Edge;
  pool: BufferPool;
  compress: boolean;
  /** A piece has arrived. */
  onWritten(piece: Piece): void;
}

/** Unit of compressed writes when the target does not tell its own. */
const defaultClusterBytes = 64 << 10;

export class PieceWriter {
  /** The first failure since the last `retry`. */
  error: BlockError | undefined;
  private failed: Piece[] = [];

  constructor(private readonly options: PieceWriterOptions) {}

  /** Whether it has arrived. Never rejects: see `error`. */
  async write(piece: Piece): Promise<boolean> {
    try {
      const { offset, bytes, buffer } = piece;
      const told = { node: this.options.target.node.name, offset, bytes, content: buffer ? 'data' : 'zero' };
      await measure(copyPiece, told, () => this.send(piece));
    } catch (error) {
      this.error ??= asBlockError(error);
      this.failed.push(piece);
      return false;
    }
    this.options.onWritten(piece);
    if (piece.buffer) this.options.pool.give(piece.buffer);
    return true;
  }

  /** Forgets the error and writes again what failed. */
  async retry(): Promise<void> {
    this.error = undefined;
    const pieces = this.failed;
    this.failed = [];
    for (const piece of pieces) {
      if (this.error) this.failed.push(piece);
      else await this.write(piece);
    }
  }

  /** What never arrived. */
  get unwritten(): readonly Piece[] {
    return this.failed;
  }

  private async send({ offset, bytes, buffer }: Piece): Promise<void> {
    const { target, compress } = this.options;
    if (!buffer) return target.writeZeroes(offset, bytes, { mayUnmap: true });
    const data = buffer.length === bytes ? buffer : buffer.subarray(0, bytes);
    if (isZero(data)) return target.writeZeroes(offset, bytes, { mayUnmap: true });
    if (!compress) return target.write(offset, data);
    const clusterBytes = clusterBytesOf(target.node) ?? defaultClusterBytes;
    for (let done = 0; done < bytes; done += clusterBytes) {
      await target.writeCompressed(offset + done, data.subarray(done, Math.min(done + clusterBytes, bytes)));
    }
  }
}
