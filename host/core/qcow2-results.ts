/**
 * What steps of the qcow2 engine leave in the result record, by name.
 *
 * `MappedRecord` and `PreparedRecord` are views of the record for the two steps that every request takes: they hold what
 * the last step left, whichever it was. The others are copies.
 */
import type { ResultRecord } from './instance.ts';

/** Where the first part of a write goes. The last three only when it is allocated. */
export interface PreparedWrite {
  readonly offset: number;
  readonly bytes: number;
  /** That belong to the clusters before and after. */
  readonly headBytes: number;
  readonly tailBytes: number;
  /** To commit or abort. */
  readonly token: number;
}

export interface NeededTable {
  readonly offset: number;
  readonly bytes: number;
  /** Where it is to be read to. */
  readonly address: number;
  readonly slot: number;
}
export interface FreshTable {
  readonly offset: number;
  readonly bytes: number;
  /** What to copy into it; 0 for zeros. */
  readonly source: number;
  readonly token: number;
}
export interface FoundCorruption {
  readonly kind: number;
  readonly offset: number;
  /** With `overlap`: of the write that was refused. */
  readonly bytes: number;
  /** With `overlap` the class in the way; with `allocation` what the cluster was for; else the index in the table. */
  readonly detail: number;
  /** With entries of L2 tables: where the table is in the file, and what the entry is for. */
  readonly table: number;
  readonly guest: number;
}
/** Something to write back. */
export interface WritebackItem {
  readonly offset: number;
  readonly table: Uint8Array;
  /** For `writebackDone`. */
  readonly item: number;
}
/** Blocks, and behind them a table or a run. */
export interface Plan {
  readonly offset: number;
  readonly blocks: number;
  readonly clusters: number;
}
export interface FreedCluster {
  /** Nobody uses it any more. */
  readonly last: boolean;
  readonly offset: number;
  readonly reason: number;
}

/** Where the first part of a mapped range is. */
export class MappedRecord {
  constructor(private readonly record: ResultRecord) {}
  /** In the file: of the first byte. Not for compressed clusters. */
  get offset(): number {
    return this.record[0];
  }
  /** That are of the same kind and follow each other. */
  get bytes(): number {
    return this.record[1];
  }
  /** The L2 entry of a compressed cluster. */
  get compressedEntry(): bigint {
    return (BigInt(this.record[5]) << 32n) | BigInt(this.record[2]);
  }
}

export class PreparedRecord implements PreparedWrite {
  constructor(private readonly record: ResultRecord) {}
  get offset(): number {
    return this.record[0];
  }
  get bytes(): number {
    return this.record[1];
  }
  get headBytes(): number {
    return this.record[2];
  }
  get tailBytes(): number {
    return this.record[3];
  }
  get token(): number {
    return this.record[4];
  }
}
