/**
 * An open file, or block device, of the operating system.
 *
 * This is the hot path of everything that runs on Node. A small request is made in place and returns a promise that
 * is already settled, which from the page cache is an order of magnitude cheaper than the thread pool; large ones, and
 * small ones while the disk is slow (latency-watch.ts), go to the pool and overlap. fdatasync always goes there.
 * What a file does with its space, where a device differs, is in file-space.ts; what Node lacks comes from libc.ts.
 */
import * as fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { BlockError } from '../../base/errors.ts';
import { settled } from '../../base/settled.ts';
import type { ByteLocks, FileLayout, FileStatus, HostDevice, HostExtent, HostFile } from '../platform.ts';
import { DeviceSpace, deviceOf } from './device-space.ts';
import { fromSystemError, isInterrupted } from './errors.ts';
import { adviseLayout } from './file-layout.ts';
import { type FileSpace, RegularSpace } from './file-space.ts';
import { readInPlace, writeInPlace } from './in-place.ts';
import { LatencyWatch } from './latency-watch.ts';
import { libc } from './libc.ts';

/** Requests up to this size may be made in place: copying 256 KiB takes 26 µs, a turn through the thread pool 60. */
const inlineBytes = 256 << 10;

/** A multiple of every alignment that requests past the page cache need. */
export const anyAlignment = 4096;

/** In place of a start time. */
const untimed = -1;

export interface DescriptorKind {
  /** It is of a block device. */
  isDevice?: boolean;
  /** That the descriptor is of, where Node lets only a handle do everything. */
  handle?: FileHandle;
}

export class NodeFile implements HostFile {
  readonly requestAlignment: number = 1;
  // One per direction: reads miss the page cache, writes wait for dirty pages to drain.
  private readonly reads = new LatencyWatch();
  private readonly writes = new LatencyWatch();
  private byteLocks: ByteLocks | undefined;
  private readonly handle: FileHandle | undefined;
  private readonly space: FileSpace;
  readonly device: HostDevice | undefined;

  constructor(
    protected fd: number,
    { isDevice = false, handle }: DescriptorKind = {},
  ) {
    this.handle = handle;
    const c = isDevice ? libc() : undefined;
    if (isDevice && !c) throw new BlockError('ENOTSUP', 'Block devices need the optional package koffi');
    this.space = c ? new DeviceSpace(c) : new RegularSpace();
    this.device = c && deviceOf(c, fd);
  }

  advise(layout: FileLayout): void {
    const c = libc();
    if (c) adviseLayout(c, this.fd, layout);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.readNow(offset, buffer) ? settled : this.readInPool(offset, buffer);
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length > inlineBytes) return false;
    const start = this.reads.isTimed() ? performance.now() : untimed;
    if (start !== untimed && !this.reads.mayBlock(start)) return false;
    if (readInPlace(this.fd, buffer, offset) < buffer.length) return false;
    if (start !== untimed) this.reads.record(start, performance.now());
    return true;
  }

  /** A read in the thread pool, until it is complete or the file ends. */
  private async readInPool(offset: number, buffer: Uint8Array): Promise<void> {
    for (let got = 0; got < buffer.length; ) {
      const bytes = await transfer((callback) =>
        fs.read(this.fd, buffer, got, buffer.length - got, offset + got, callback),
      );
      if (bytes === 0) {
        buffer.fill(0, got);
        return;
      }
      if (bytes !== interrupted) got += bytes;
    }
  }

  write(offset: number, buffer: Uint8Array): Promise<void> {
    return this.writeNow(offset, buffer) ? settled : this.writeInPool(offset, buffer);
  }

  private writeNow(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length > inlineBytes) return false;
    const start = this.writes.isTimed() ? performance.now() : untimed;
    if (start !== untimed && !this.writes.mayBlock(start)) return false;
    if (writeInPlace(this.fd, buffer, offset) < buffer.length) return false;
    if (start !== untimed) this.writes.record(start, performance.now());
    return true;
  }

  /** A write in the thread pool. What was written in place before is written again: a failure is told by the last call. */
  private async writeInPool(offset: number, buffer: Uint8Array): Promise<void> {
    for (let put = 0; put < buffer.length; ) {
      const bytes = await transfer((callback) =>
        fs.write(this.fd, buffer, put, buffer.length - put, offset + put, callback),
      );
      if (bytes !== interrupted) put += bytes;
    }
  }

  flush(): Promise<void> {
    if (this.handle) return ofHandle(this.handle.datasync());
    return call((callback) => fs.fdatasync(this.fd, callback));
  }

  async getSize(): Promise<number> {
    return this.space.size(this.fd);
  }

  /**
   * A file that was empty gets its first block: a hole takes requests of any alignment, and so would not tell who opens it
   * past the page cache which one its data needs.
   */
  async truncate(size: number): Promise<void> {
    if (size > Number.MAX_SAFE_INTEGER) throw new BlockError('EFBIG');
    const wasEmpty = this.space.size(this.fd) === 0;
    await call((callback) => fs.ftruncate(this.fd, size, callback));
    const bytes = Math.min(size, anyAlignment);
    if (wasEmpty && bytes > 0 && bytes % this.requestAlignment === 0)
      await this.write(0, new Uint8Array(bytes));
  }

  async status(): Promise<FileStatus> {
    try {
      return fileStatus(fs.fstatSync(this.fd));
    } catch (error) {
      throw fromSystemError(error);
    }
  }

  async extent(offset: number): Promise<HostExtent> {
    return this.space.extent(this.fd, offset);
  }

  zero(offset: number, bytes: number, options: { unmap: boolean }): Promise<boolean> {
    return this.space.zero(this.fd, offset, bytes, options);
  }

  discard(offset: number, bytes: number): Promise<boolean> {
    return this.space.discard(this.fd, offset, bytes);
  }

  allocate(offset: number, bytes: number): Promise<boolean> {
    return this.space.allocate(this.fd, offset, bytes);
  }

  async copyFrom(source: HostFile, sourceOffset: number, offset: number, bytes: number): Promise<boolean> {
    const c = libc();
    if (!c || !(source instanceof NodeFile)) return false;
    return c.copyFileRange({ fd: source.fd, offset: sourceOffset, bytes }, { fd: this.fd, offset });
  }

  get locks(): ByteLocks | undefined {
    const c = libc();
    if (!c) return undefined;
    this.byteLocks ??= {
      lockShared: (offset) => c.lockShared(this.fd, offset),
      unlock: (offset) => c.unlock(this.fd, offset),
      isHeldByOther: (offset) => c.isLockedByOther(this.fd, offset),
    };
    return this.byteLocks;
  }

  close(): Promise<void> {
    const { fd } = this;
    // The number may soon mean another file.
    this.fd = -1;
    if (this.handle) return ofHandle(this.handle.close());
    return call((callback) => fs.close(fd, callback));
  }
}

export function fileStatus(stats: fs.Stats): FileStatus {
  return {
    type: stats.isFile()
      ? 'file'
      : stats.isDirectory()
        ? 'directory'
        : stats.isCharacterDevice()
          ? 'character-device'
          : stats.isBlockDevice()
            ? 'block-device'
            : 'other',
    size: stats.size,
    // st_blocks counts units of 512 bytes whatever the file system's block is; Windows has none.
    allocatedBytes: stats.blocks === undefined ? stats.size : stats.blocks * 512,
    modified: String(stats.mtimeMs),
  };
}

/** One call of the callback API as a promise with operating errors. */
export function call<T = void>(
  start: (callback: (error: Error | null | undefined, value?: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    try {
      start((error, value) => (error ? reject(asRejection(error)) : resolve(value as T)));
    } catch (error) {
      reject(asRejection(error));
    }
  });
}

/** One call of the promise API with operating errors. */
async function ofHandle(outcome: Promise<void>): Promise<void> {
  try {
    await outcome;
  } catch (error) {
    throw fromSystemError(error);
  }
}

const interrupted = -1;

/** One read or write of the callback API: how many bytes, or `interrupted`. */
function transfer(start: (callback: (error: Error | null, bytes: number) => void) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    start((error, bytes) => {
      if (!error) resolve(bytes);
      else if (isInterrupted(error)) resolve(interrupted);
      else reject(asRejection(error));
    });
  });
}

/** In a callback nothing may be thrown: a bug rejects as itself. */
function asRejection(error: unknown): unknown {
  try {
    return fromSystemError(error);
  } catch (bug) {
    return bug;
  }
}
