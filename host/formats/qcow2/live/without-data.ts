/** Images that are opened for something else than their data: for their facts, or to be checked. */
import type { Driver, DriverInfo } from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import type { BitmapEntry } from '../disk/bitmap-directory.ts';
import type { Qcow2Header } from '../disk/header.ts';
import type { SnapshotTable } from '../disk/snapshot-table.ts';
import { describeImage } from '../info.ts';
import type { Encryption } from './encryption.ts';

/** What was read of the image beside its mapping. */
export interface ImageTables {
  readonly snapshots: SnapshotTable;
  readonly bitmaps: readonly BitmapEntry[];
  readonly encryption: Encryption | undefined;
}

/** An image that is opened for its facts alone. */
export class InfoDriver implements Driver {
  readonly backing;

  constructor(
    private readonly header: Qcow2Header,
    private readonly facts: ImageTables,
  ) {
    if (header.backingFile !== undefined) {
      this.backing = { filename: header.backingFile, format: header.backingFormat };
    }
  }

  async getLength(): Promise<number> {
    return this.header.size;
  }

  info(): DriverInfo {
    return describeImage({
      header: this.header,
      snapshots: this.facts.snapshots.snapshots,
      bitmaps: this.facts.bitmaps,
      encryption: this.facts.encryption,
    });
  }

  async close(): Promise<void> {}
}

/** An image that is opened to be checked: nothing of it is trusted but the header. */
export class CheckOnlyDriver implements Driver {
  constructor(
    private readonly header: Qcow2Header,
    readonly file: Edge,
  ) {}

  async getLength(): Promise<number> {
    return this.header.size;
  }

  async close(): Promise<void> {}
}
