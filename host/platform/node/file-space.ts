/**
 * How long an open file is, which parts of it hold data, and giving parts of it zeros, space or none: what a regular
 * file does with fallocate and holes. A block device does it in other ways (device-space.ts).
 */
import * as fs from 'node:fs';
import type { HostExtent } from '../platform.ts';
import { fromSystemError } from './errors.ts';
import { FallocateMode, libc } from './libc.ts';

/** As the members of HostFile with these names, for the file of a descriptor. */
export interface FileSpace {
  size(fd: number): number;
  extent(fd: number, offset: number): HostExtent;
  zero(fd: number, offset: number, bytes: number, options: { unmap: boolean }): Promise<boolean>;
  discard(fd: number, offset: number, bytes: number): Promise<boolean>;
  allocate(fd: number, offset: number, bytes: number): Promise<boolean>;
}

export class RegularSpace implements FileSpace {
  /** What the file system turned out not to have, by fallocate mode. */
  private readonly missing = new Set<number>();

  /** `reserve`: as fallocate(2) of the file that this is of. False: there is no such call, or not for this file. */
  constructor(private readonly reserve: (mode: number, offset: number, bytes: number) => Promise<boolean>) {}

  /**
   * What the kernel makes when it is read (/proc/version) has no length, although it is not empty: EINVAL, or what else
   * it says to the question where it ends.
   */
  size(fd: number): number {
    let size: number;
    try {
      ({ size } = fs.fstatSync(fd));
    } catch (error) {
      throw fromSystemError(error);
    }
    if (size > 0) return size;
    return libc()?.seekEnd(fd) ?? 0;
  }

  extent(fd: number, offset: number): HostExtent {
    const c = libc();
    const toEnd = this.size(fd) - offset;
    if (!c) return { type: 'data', bytes: toEnd };
    const data = c.seekData(fd, offset);
    if (data === undefined) return { type: 'hole', bytes: toEnd };
    if (data > offset) return { type: 'hole', bytes: data - offset };
    return { type: 'data', bytes: (c.seekHole(fd, offset) ?? offset + toEnd) - offset };
  }

  async zero(fd: number, offset: number, bytes: number, { unmap }: { unmap: boolean }): Promise<boolean> {
    const inside = offset + bytes <= this.size(fd);
    // Behind the end of the file there are zeros without making it longer.
    if (unmap && (await this.change(FallocateMode.punchHole, offset, bytes))) return true;
    if (await this.change(FallocateMode.zeroRange, offset, bytes)) return true;
    if (!inside) return false;
    return (
      (await this.change(FallocateMode.punchHole, offset, bytes)) &&
      (await this.change(FallocateMode.allocate, offset, bytes))
    );
  }

  discard(_fd: number, offset: number, bytes: number): Promise<boolean> {
    return this.change(FallocateMode.punchHole, offset, bytes);
  }

  allocate(_fd: number, offset: number, bytes: number): Promise<boolean> {
    return this.change(FallocateMode.allocate, offset, bytes);
  }

  private async change(mode: number, offset: number, bytes: number): Promise<boolean> {
    if (this.missing.has(mode)) return false;
    if (await this.reserve(mode, offset, bytes)) return true;
    this.missing.add(mode);
    return false;
  }
}
