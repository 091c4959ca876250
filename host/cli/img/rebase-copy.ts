/**
 * What a safe `img rebase` copies: everything that the image does not hold itself and that would read as something else
 * on its new backing file (specification: cli, section 2).
 *
 * Contents are compared cluster by cluster and nothing is changed that reads the same; the next pieces are read meanwhile
 * (copy/pipeline.ts), which no change of one that came before makes other. What is copied reads as before,
 * so that an interruption at any point leaves the contents as they were. Runs that begin behind the end of the old
 * backing file are zeros without data where the format has such, as in `qemu-img`.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { roundDown, sectorBytes } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockNode } from '../../block/node.ts';
import { blockStatus, statusAbove } from '../../block/status.ts';
import { runPipeline } from '../../copy/pipeline.ts';
import { ScanArena, type ScanBuffer } from '../../core/scan.ts';

/** What is compared at once: a multiple of the largest cluster. */
const pieceBytes = 2 << 20;
/** As many pieces are under way. */
const bufferCount = 3;

interface RebaseSettings {
  /** Open for writing, on its old backing file. */
  image: BlockBackend;
  /** Absent: the image is to stand alone. */
  newBacking: BlockBackend | undefined;
  compressed: boolean;
  /** Called with how much of the whole is done, in percent, more often than it is exact. */
  progress(percent: number): void;
}

/** Makes the image read the same on its new backing file; flushes nothing. Errors: of I/O, in the words of `qemu-img`. */
export function copyWhatDiffers(settings: RebaseSettings): Promise<void> {
  return new RebaseCopy(settings).run();
}

/** What the image does not hold itself, and what is to be compared of it. */
interface Piece {
  start: number;
  end: number;
  /** Called when everything up to its end is as it is to be. */
  done(): void;
}

interface Buffers {
  before: ScanBuffer;
  /** Absent: zeros. */
  after: ScanBuffer | undefined;
}

class RebaseCopy {
  private readonly arena: ScanArena;
  /** The image itself, below filters. */
  private readonly node: BlockNode;
  private readonly clusterBytes: number;
  private readonly oldLength: number;
  private readonly newLength: number;

  constructor(private readonly settings: RebaseSettings) {
    const { image, newBacking } = settings;
    this.node = image.node.skipFilters();
    this.clusterBytes = this.node.driver.info?.().clusterBytes ?? sectorBytes;
    this.oldLength = this.node.backing()?.length ?? 0;
    this.newLength = newBacking?.length ?? 0;
    this.arena = new ScanArena((newBacking ? 2 : 1) * bufferCount * pieceBytes);
  }

  async run(): Promise<void> {
    const buffers = Array.from({ length: bufferCount }, () => ({
      before: this.arena.allocate(pieceBytes),
      after: this.settings.newBacking && this.arena.allocate(pieceBytes),
    }));
    const pieces = this.pieces();
    await runPipeline<Piece, Buffers>(buffers, {
      next: async () => (await pieces.next()).value,
      read: (piece, into) => this.read(piece, into),
      write: (piece, from) => this.compare(piece, from),
    });
  }

  /** Nothing that is known to be zeros before and after. */
  private async *pieces(): AsyncGenerator<Piece, undefined> {
    const { image, progress } = this.settings;
    const { length } = image;
    // As much for each piece as there would be without clusters of the image's own: so `qemu-img` counts.
    const step = length > pieceBytes ? 100 / Math.floor(length / pieceBytes) : 100;
    let done = 0;
    for (let at = 0; at < length; ) {
      const { allocated, bytes } = await this.ownExtent(at, Math.min(at + pieceBytes, length));
      const end = at + bytes;
      if (!allocated) {
        const start = await this.skipZeros(at, end);
        done = Math.min(100, done + step);
        const percent = done;
        yield { start, end, done: () => progress(percent) };
      }
      at = end;
    }
    return undefined;
  }

  /** Whether the image itself holds what is at `at`, and how far that is so. */
  private async ownExtent(at: number, end: number): Promise<{ allocated: boolean; bytes: number }> {
    const { allocated, bytes } = await blockStatus(this.node, at, end - at, false);
    let next = at + bytes;
    // Status also stops where the backing file ends.
    while (next < end) {
      const more = await blockStatus(this.node, next, end - next, false);
      if (more.allocated !== allocated) break;
      next += more.bytes;
    }
    return { allocated, bytes: next - at };
  }

  /** Where the first thing may be that is not zeros on both sides. */
  private async skipZeros(start: number, end: number): Promise<number> {
    let at = start;
    for (let zeros = -1; at < end && zeros !== 0; at += zeros) zeros = await this.zerosOnBothSides(at, end);
    return at;
  }

  /** Bytes, in whole clusters, that are known to be zeros before and after. */
  private async zerosOnBothSides(at: number, end: number): Promise<number> {
    const now = await statusAbove(this.node, undefined, at, end - at);
    if (!now.zero) return 0;
    const { newBacking } = this.settings;
    let bytes = now.bytes;
    if (newBacking && at < this.newLength) {
      const later = await statusAbove(newBacking.node, undefined, at, Math.min(bytes, this.newLength - at));
      if (!later.zero) return 0;
      if (at + later.bytes < this.newLength) bytes = later.bytes;
    }
    return at + bytes >= end ? end - at : roundDown(bytes, this.clusterBytes);
  }

  private async read({ start, end }: Piece, { before, after }: Buffers): Promise<void> {
    const bytes = end - start;
    if (bytes === 0) return;
    await Promise.all([
      reading('old', this.settings.image.read(start, before.bytes.subarray(0, bytes))),
      after && reading('new', this.readNew(start, after.bytes.subarray(0, bytes))),
    ]);
  }

  private async compare({ start, end, done }: Piece, buffers: Buffers): Promise<void> {
    const bytes = end - start;
    for (let at = 0; at < bytes; ) {
      const differs = this.clusterDiffers(at, bytes, buffers);
      const first = at;
      do at += this.clusterBytes;
      while (at < bytes && this.clusterDiffers(at, bytes, buffers) === differs);
      const data = buffers.before.bytes.subarray(first, Math.min(at, bytes));
      if (differs) await this.write(start + first, data);
    }
    done();
  }

  private async readNew(offset: number, buffer: Uint8Array): Promise<void> {
    const present = Math.max(0, Math.min(buffer.length, this.newLength - offset));
    if (present > 0) await this.settings.newBacking?.read(offset, buffer.subarray(0, present));
    buffer.fill(0, present);
  }

  private clusterDiffers(at: number, end: number, { before, after }: Buffers): boolean {
    const bytes = Math.min(this.clusterBytes, end - at);
    if (!after) return !this.arena.isZero(before, at, bytes);
    const part = ({ address, bytes: all }: ScanBuffer): ScanBuffer => ({
      address: address + at,
      bytes: all.subarray(at, at + bytes),
    });
    return this.arena.firstDifference(part(before), part(after), bytes) < bytes;
  }

  private async write(offset: number, data: Uint8Array): Promise<void> {
    try {
      await this.copyRun(offset, data);
    } catch (error) {
      throw asBlockError(error).within('Error while writing to COW image');
    }
  }

  private async copyRun(offset: number, data: Uint8Array): Promise<void> {
    const { image, compressed } = this.settings;
    if (offset >= this.oldLength) return this.writeZeros(offset, data);
    if (!compressed) return image.write(offset, data);
    for (let at = 0; at < data.length; at += this.clusterBytes) {
      await image.writeCompressed(offset + at, data.subarray(at, at + this.clusterBytes));
    }
  }

  /** Zeros that the image must hold itself. Without a backing file some formats would leave them out. */
  private async writeZeros(offset: number, zeros: Uint8Array): Promise<void> {
    const { image } = this.settings;
    await image.writeZeroes(offset, zeros.length);
    const { allocated } = await blockStatus(this.node, offset, zeros.length, false);
    if (!allocated) await image.write(offset, zeros);
  }
}

/** Which side cannot be read is all that `qemu-img` says. */
async function reading(side: 'old' | 'new', read: Promise<void>): Promise<void> {
  try {
    await read;
  } catch (error) {
    const { errno } = asBlockError(error);
    throw new BlockError(errno, `error while reading from ${side} backing file`, { cause: error });
  }
}
