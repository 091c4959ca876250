/**
 * The blocks of a dynamic VHD image: an entry of the table is the sector of the file in which a block begins, with a bitmap
 * of its sectors that were written, or none.
 *
 * Who reads goes by the table alone, as QEMU does: what was never written of a block is zero in it. Bits are set for all of
 * a block that is written to, for those who look at them.
 *
 * New blocks are appended, over the footer, which is written behind them before the table is; until then the copy at the
 * start of the file is there.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes, wholeSectors } from '../../base/sectors.ts';
import { settled } from '../../base/settled.ts';
import type { Edge } from '../../block/edge.ts';
import { BlockTable, tableBytes } from '../appended/block-table.ts';
import type { Blocks } from '../appended/blocks.ts';
import {
  bitmapBytesOf,
  type DynamicHeader,
  dynamicHeaderBytes,
  parseDynamicHeader,
} from './dynamic-header.ts';
import { type Footer, footerBytes } from './footer.ts';

const unallocated = 0xffff_ffff;

interface Range {
  readonly start: number;
  readonly end: number;
}

export class VpcBlocks implements Blocks {
  readonly blockBytes: number;
  private readonly bitmap: Uint8Array;
  /** Blocks whose bitmap is known to be full. */
  private readonly full = new Set<number>();
  /** Where the next block begins, in the file. */
  private next: number;
  /** Space of blocks that nothing came of, as entries. */
  private readonly spare: number[] = [];
  private footerWritten = settled;

  private constructor(
    private readonly file: Edge,
    private readonly footer: Uint8Array,
    readonly diskBytes: number,
    header: DynamicHeader,
    readonly table: BlockTable,
    /** What blocks must not be in. */
    own: readonly Range[],
  ) {
    this.blockBytes = header.blockBytes;
    this.bitmap = new Uint8Array(bitmapBytesOf(header.blockBytes)).fill(0xff);
    this.next = wholeSectors(header.tableOffset + tableBytes(header.entries));
    for (let block = 0; block < table.length; block++) this.checkBlock(block, own);
    if (this.next > wholeSectors(file.length)) throw truncated();
  }

  /** `bytes`: those of `footer`, which is of a dynamic image. Errors: EINVAL, for what cannot be opened; of I/O. */
  static async read(file: Edge, bytes: Uint8Array, { diskBytes, headerOffset }: Footer): Promise<VpcBlocks> {
    if (headerOffset > Number.MAX_SAFE_INTEGER - dynamicHeaderBytes)
      throw invalid('Error reading dynamic VHD header');
    const head = new Uint8Array(dynamicHeaderBytes);
    await file.read(headerOffset, head);
    const header = parseDynamicHeader(head, diskBytes);
    const { tableOffset, entries } = header;
    const tableEnd = tableOffset + tableBytes(entries);
    if (wholeSectors(tableEnd) > file.length) throw truncated();
    const table = await BlockTable.read(file, { offset: tableOffset, entries, littleEndian: false });
    return new VpcBlocks(file, bytes, diskBytes, header, table, [
      { start: 0, end: footerBytes },
      { start: headerOffset, end: headerOffset + dynamicHeaderBytes },
      { start: tableOffset, end: tableEnd },
    ]);
  }

  private checkBlock(block: number, own: readonly Range[]): void {
    if (!this.isStored(block)) return;
    const start = this.table.get(block) * sectorBytes;
    const end = start + this.storedBytes;
    if (own.some((range) => start < range.end && end > range.start))
      throw invalid(`Block ${block} at offset ${start} is within the image's own tables`);
    this.next = Math.max(this.next, end);
  }

  /** What a block takes in the file. */
  private get storedBytes(): number {
    return this.bitmap.length + this.blockBytes;
  }

  isStored(block: number): boolean {
    return this.table.get(block) !== unallocated;
  }

  offsetOf(block: number): number {
    return this.dataOf(this.table.get(block));
  }

  private dataOf(entry: number): number {
    return entry * sectorBytes + this.bitmap.length;
  }

  take(): { entry: number; offset: number } {
    const entry = this.spare.pop() ?? this.append();
    return { entry, offset: this.dataOf(entry) };
  }

  private append(): number {
    const entry = this.next / sectorBytes;
    if (entry >= unallocated) throw new BlockError('EFBIG');
    this.next += this.storedBytes;
    return entry;
  }

  giveBack(entry: number): void {
    this.spare.push(entry);
  }

  async complete(block: number, offset: number): Promise<void> {
    // A footer that is being written may be where the bitmap will be.
    await this.footerWritten;
    await this.file.write(offset - this.bitmap.length, this.bitmap);
    this.full.add(block);
  }

  touch(block: number, offset: number): Promise<void> | undefined {
    return this.full.has(block) ? undefined : this.complete(block, offset);
  }

  added(): void {}

  async writeAhead(): Promise<void> {
    const written = this.file.write(this.next, this.footer);
    // Who waits for it is not concerned by its failure.
    this.footerWritten = written.catch(() => {});
    await written;
  }
}

function truncated(): BlockError {
  return invalid(
    'block-vpc: free_data_block_offset points after the end of file. The image has been truncated.',
  );
}
