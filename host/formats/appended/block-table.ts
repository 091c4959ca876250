/**
 * The table of an image whose disk is cut into blocks of one size: an entry of 32 bits for each, which says where in the
 * file the block is.
 *
 * All of it is in memory: whoever reads it has checked how long it is. It is written in sectors, those that have changed.
 */
import { sectorBytes } from '../../base/sectors.ts';
import type { Edge } from '../../block/edge.ts';

const entryBytes = 4;

/** Neighbouring sectors are written together up to this many bytes. */
const maxWriteBytes = 1 << 20;

interface TablePlace {
  /** Where in the file the table begins. */
  readonly offset: number;
  readonly entries: number;
  readonly littleEndian: boolean;
}

/** Part of the table as it is to be in the file. */
interface TablePart {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Bytes of a table of so many entries. */
export function tableBytes(entries: number): number {
  return entries * entryBytes;
}

export class BlockTable {
  private readonly view: DataView;
  /** Sectors of the table that the file does not have yet as they are here. */
  private dirty = new Set<number>();

  private constructor(
    private readonly bytes: Uint8Array,
    private readonly place: TablePlace,
  ) {
    this.view = new DataView(bytes.buffer);
  }

  /** Errors: of I/O. */
  static async read(file: Edge, place: TablePlace): Promise<BlockTable> {
    const bytes = new Uint8Array(tableBytes(place.entries));
    await file.read(place.offset, bytes);
    return new BlockTable(bytes, place);
  }

  get length(): number {
    return this.place.entries;
  }

  /** `block` < `length`. */
  get(block: number): number {
    return this.view.getUint32(block * entryBytes, this.place.littleEndian);
  }

  set(block: number, entry: number): void {
    const at = block * entryBytes;
    this.view.setUint32(at, entry, this.place.littleEndian);
    this.dirty.add(Math.floor(at / sectorBytes));
  }

  /**
   * Hands the changed sectors to `write` as they are now; what changes meanwhile is for the next time. Errors: those of
   * `write`; the sectors stay to be written then.
   */
  async writeBack(write: (parts: readonly TablePart[]) => Promise<void>): Promise<void> {
    const { dirty } = this;
    if (dirty.size === 0) return;
    this.dirty = new Set();
    try {
      await write([...this.parts([...dirty].sort((a, b) => a - b))]);
    } catch (error) {
      for (const sector of dirty) this.dirty.add(sector);
      throw error;
    }
  }

  private *parts(sectors: readonly number[]): Generator<TablePart> {
    const most = maxWriteBytes / sectorBytes;
    for (let i = 0, next: number; i < sectors.length; i = next) {
      const first = sectors[i]!; // i is inside
      next = i + 1;
      while (sectors[next] === first + next - i && next - i < most) next++;
      const start = first * sectorBytes;
      // The last sector of a table may be short, and what is behind it somebody else's.
      const bytes = this.bytes.slice(start, start + (next - i) * sectorBytes);
      yield { offset: this.place.offset + start, bytes };
    }
  }
}
