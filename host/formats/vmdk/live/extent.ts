/** A part of a disk, and what it does with requests within it; offsets are of the extent. What is flat, or zeros, is here whole. */
import { BlockError } from '../../../base/errors.ts';
import type { MaybePromise } from '../../../base/maybe-promise.ts';
import type { Extent, WritePlan, ZeroFlags } from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import type { ExtentLine } from '../disk/descriptor.ts';

export interface ZeroesDone {
  bytes: number;
  /** They have yet to be written, as data. */
  needsData?: true;
}

export interface DiskExtent {
  readonly bytes: number;
  /** As ImageInfo has it. */
  readonly info: { format: string; file: Edge | undefined; clusterBytes?: number; compressed?: true };
  /** Of sparse extents. */
  readonly grainBytes?: number;
  map(offset: number, bytes: number): MaybePromise<Extent>;
  prepareWrite(offset: number, bytes: number): MaybePromise<WritePlan>;
  /** A first part of it, which may be nothing yet. */
  writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<ZeroesDone>;
  writeBack?(isDurable: boolean): Promise<void>;
}

/** All of it in a file, as it is. */
export class FlatExtent implements DiskExtent {
  readonly bytes: number;
  readonly info;
  private readonly start: number;

  constructor(
    private readonly file: Edge,
    { type, bytes, offset }: ExtentLine,
  ) {
    this.bytes = bytes;
    this.start = offset;
    this.info = { format: type, file };
  }

  map(offset: number, bytes: number): Extent {
    return { type: 'data', bytes, child: this.file, offset: this.start + offset };
  }

  prepareWrite(offset: number, bytes: number): WritePlan {
    return { bytes, child: this.file, offset: this.start + offset };
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<ZeroesDone> {
    await this.file.writeZeroes(this.start + offset, bytes, flags);
    return { bytes };
  }
}

/** Reads as zeros, and cannot be written to. */
export class ZeroExtent implements DiskExtent {
  readonly info = { format: 'ZERO', file: undefined };

  constructor(readonly bytes: number) {}

  map(_offset: number, bytes: number): Extent {
    return { type: 'zero', bytes };
  }

  prepareWrite(): WritePlan {
    throw new BlockError('EACCES', 'An extent of type ZERO cannot be written to');
  }

  async writeZeroes(_offset: number, bytes: number): Promise<ZeroesDone> {
    return { bytes };
  }
}
