/**
 * The blocks of a VDI image: an entry of the map is the number of a block in the file, or none.
 *
 * New blocks get the lowest numbers that no entry has: first those that a crash or a failed write has left, then those
 * behind all others. The header counts up to the highest, and is in the file before the map: whoever goes by it
 * overwrites nothing.
 */
import { BlockError } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { Edge } from '../../block/edge.ts';
import { BlockTable } from '../appended/block-table.ts';
import type { Blocks } from '../appended/blocks.ts';
import { headBytes, parseHeader, setAllocated, type VdiHeader } from './header.ts';
import { blockBytes } from './limits.ts';

/** Entries from here on are no blocks: discarded ones, which read as zeros, and free ones. */
const firstUnallocated = 0xffff_fffe;

/** Numbers that nobody has are looked for this many at a time. */
const maxFound = 4096;

export class VdiBlocks implements Blocks {
  readonly blockBytes = blockBytes;
  /** Behind the highest number in the map. */
  private end = 0;
  /** Behind the highest number that was ever given out. */
  private next: number;
  /** Lower numbers that nobody has; the last one is taken next. */
  private found: number[] = [];
  /** Numbers below `next` may be free that are not in `found`. */
  private maybeMore: boolean;
  private readonly taken = new Set<number>();

  private constructor(
    private readonly file: Edge,
    private readonly head: Uint8Array,
    readonly header: VdiHeader,
    readonly table: BlockTable,
  ) {
    let used = 0;
    this.forStored((entry) => {
      used++;
      if (entry >= this.end) this.end = entry + 1;
    });
    this.next = this.end;
    this.maybeMore = used !== this.end;
  }

  /** Errors: EINVAL, ENOTSUP, for what cannot be opened; of I/O. */
  static async read(file: Edge): Promise<VdiBlocks> {
    const head = new Uint8Array(headBytes);
    await file.read(0, head);
    const header = parseHeader(head, file.length);
    const place = { offset: header.mapOffset, entries: header.blocks, littleEndian: true };
    return new VdiBlocks(file, head, header, await BlockTable.read(file, place));
  }

  get diskBytes(): number {
    return this.header.diskBytes;
  }

  /** The numbers in the map that a block can have. */
  private forStored(visit: (entry: number) => void): void {
    const { table } = this;
    for (let block = 0; block < table.length; block++) {
      const entry = table.get(block);
      if (entry < table.length) visit(entry);
    }
  }

  isStored(block: number): boolean {
    return this.table.get(block) < firstUnallocated;
  }

  offsetOf(block: number): number {
    const entry = this.table.get(block);
    if (entry >= this.table.length)
      throw new BlockError('EIO', `Block ${block} has the number ${entry} of ${this.table.length}`);
    return this.place(entry);
  }

  private place(entry: number): number {
    return this.header.dataOffset + entry * blockBytes;
  }

  take(): { entry: number; offset: number } {
    if (this.found.length === 0 && this.maybeMore) this.look();
    const entry = this.found.pop() ?? this.next++;
    // There are as many numbers as blocks.
    this.taken.add(entry);
    return { entry, offset: this.place(entry) };
  }

  private look(): void {
    const isUsed = new Uint8Array(this.next);
    this.forStored((entry) => {
      isUsed[entry] = 1;
    });
    for (const entry of this.taken) isUsed[entry] = 1;
    let entry = 0;
    for (; entry < this.next && this.found.length < maxFound; entry++) {
      if (isUsed[entry] === 0) this.found.push(entry);
    }
    this.maybeMore = entry < this.next;
    this.found.reverse();
  }

  giveBack(entry: number): void {
    this.taken.delete(entry);
    this.found.push(entry);
  }

  /** The file has all of a block, up to its last sector. Nobody writes there meanwhile if that is behind the end of the file. */
  async complete(_block: number, offset: number): Promise<void> {
    const { file } = this;
    const end = offset + blockBytes;
    const start = Math.max(file.node.exactLength, end - sectorBytes);
    if (start < end) await file.write(start, new Uint8Array(end - start));
  }

  added(entry: number): void {
    this.taken.delete(entry);
    this.end = Math.max(this.end, entry + 1);
  }

  async writeAhead(): Promise<void> {
    setAllocated(this.head, this.end);
    await this.file.write(0, this.head);
  }
}
