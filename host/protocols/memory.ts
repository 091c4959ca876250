/**
 * The `memory` protocol: a disk in memory that is gone when its node is closed. Not a QEMU driver.
 *
 * Only what was written takes memory, in pages of 64 KiB, so a disk may be as long as numbers reach; how much may be
 * written is limited. A page that was zeroed or discarded as a whole is given back.
 */

import { BlockError, invalid } from '../base/errors.ts';
import { settled } from '../base/settled.ts';
import { SparseBytes } from '../base/sparse-bytes.ts';
import type { Driver, DriverDefinition, Extent, TruncateOptions } from '../block/driver.ts';
import { optional, size, struct, type TypeOf } from '../qapi/types.ts';

const pageBytes = 64 << 10;
/** What one disk may hold before writes fail with ENOSPC. */
const maxAllocatedBytes = 2 ** 32;

const options = struct('BlockdevOptionsMemory', {
  /** Bytes; 0 unless given. */
  size: optional(size),
});

type MemoryOptions = TypeOf<typeof options>;

export const memory: DriverDefinition<MemoryOptions> = {
  name: 'memory',
  kind: 'protocol',
  options,
  strongOptions: ['size'],
  exactFilename: () => undefined,
  async open(_context, given) {
    const length = given.size ?? 0;
    if (!Number.isSafeInteger(length) || length < 0) throw invalid('Invalid disk size');
    return new MemoryDriver(length);
  },
};

class MemoryDriver implements Driver {
  readonly hasZeroInit = true;
  private readonly content = new SparseBytes(pageBytes);

  constructor(private length: number) {}

  async getLength(): Promise<number> {
    return this.length;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    this.content.read(offset, buffer);
    return settled;
  }

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    const { content } = this;
    if (content.allocatedBytes + buffer.length > maxAllocatedBytes) {
      const missing = content.missingBytes(offset, buffer.length);
      if (content.allocatedBytes + missing > maxAllocatedBytes) throw new BlockError('ENOSPC');
    }
    content.write(offset, buffer);
    this.length = Math.max(this.length, offset + buffer.length);
  }

  async map(offset: number, bytes: number): Promise<Extent> {
    const run = this.content.run(offset, bytes);
    return { type: 'own', bytes: run.bytes, zero: !run.present };
  }

  async writeZeroes(offset: number, bytes: number): Promise<void> {
    this.content.clear(offset, bytes);
    this.length = Math.max(this.length, offset + bytes);
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.content.clear(offset, bytes);
  }

  async truncate(length: number, { preallocation }: TruncateOptions): Promise<void> {
    if (preallocation !== 'off') {
      throw new BlockError('ENOTSUP', `Unsupported preallocation mode: ${preallocation}`);
    }
    if (length < this.length) this.content.clear(length, this.length - length);
    this.length = length;
  }

  async getAllocatedBytes(): Promise<number> {
    return this.content.allocatedBytes;
  }

  async close(): Promise<void> {}
}
