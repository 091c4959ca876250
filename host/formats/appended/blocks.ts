/** What a format of appended blocks tells the driver (driver.ts) of an image: where blocks are, and what else is to be written. */
import type { BlockTable } from './block-table.ts';

export interface Blocks {
  readonly table: BlockTable;
  /** Of the disk. */
  readonly diskBytes: number;
  readonly blockBytes: number;
  /** Otherwise it reads as zeros. */
  isStored(block: number): boolean;
  /** Where in the file the data of a block is that is stored. Errors: EIO, its entry is damaged. */
  offsetOf(block: number): number;
  /** Space for a new block that nothing else is in, as its entry will be. Errors: EFBIG, no entry could say where it is. */
  take(): { readonly entry: number; readonly offset: number };
  /** No block came of it. */
  giveBack(entry: number): void;
  /** What a new block has beside its data, which is written, is to be written too. Errors: of I/O. */
  complete(block: number, offset: number): Promise<void>;
  /** A block is to be written to again; undefined: nothing else is to be done for that. Errors: of I/O. */
  touch?(block: number, offset: number): Promise<void> | undefined;
  /** The table has an entry for a block that is complete. */
  added(entry: number): void;
  /** Writes what must be in the file before the table that is about to be written. Errors: of I/O. */
  writeAhead(): Promise<void>;
}
