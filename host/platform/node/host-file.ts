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
import type { ByteLocks, FileLayout, FileStatus, HostDevice, HostExtent, HostFile } from '../platform.ts';
import { DeviceSpace, deviceOf } from './device-space.ts';
import { fromSystemError, isInterrupted } from './errors.ts';
import { adviseLayout } from './file-layout.ts';
import { type FileSpace, RegularSpace } from './file-space.ts';
import { LatencyWatch } from './latency-watch.ts';
import { libc } from './libc.ts';

/** Requests up to this size may be made in place: copying 256 KiB takes 26 µs, a turn through the thread pool 60. */
const inlineBytes = 256 << 10;

/** A multiple of every alignment that requests past the page cache need. */
export const anyAlignment = 4096;

/** Buffers in one call: IOV_MAX of Linux. */
const maxGathered = 1024;

/** In place of a start time. */
const untimed = -1;

/** Shared by every request made in place. */
const done: Promise<void> = Promise.resolve();

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
    if (buffer.length <= inlineBytes) {
      const start = this.reads.isTimed() ? performance.now() : untimed;
      if (start === untimed || this.reads.mayBlock(start)) {
        try {
          const got = fs.readSync(this.fd, buffer, 0, buffer.length, offset);
          if (got < buffer.length) return this.readRest(offset, buffer, got);
        } catch (error) {
          if (isInterrupted(error)) return this.readRest(offset, buffer, 0);
          return Promise.reject(fromSystemError(error));
        }
        if (start !== untimed) this.reads.record(start, performance.now());
        return done;
      }
    }
    return this.readRest(offset, buffer, 0);
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length > inlineBytes) return false;
    const start = this.reads.isTimed() ? performance.now() : untimed;
    if (start !== untimed && !this.reads.mayBlock(start)) return false;
    try {
      if (fs.readSync(this.fd, buffer, 0, buffer.length, offset) < buffer.length) return false;
    } catch {
      return false;
    }
    if (start !== untimed) this.reads.record(start, performance.now());
    return true;
  }

  /** The rest of a read in the thread pool, from `got` on, until it is complete or the file ends. */
  private async readRest(offset: number, buffer: Uint8Array, got: number): Promise<void> {
    while (got < buffer.length) {
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
    if (buffer.length <= inlineBytes) {
      const start = this.writes.isTimed() ? performance.now() : untimed;
      if (start === untimed || this.writes.mayBlock(start)) {
        try {
          const put = fs.writeSync(this.fd, buffer, 0, buffer.length, offset);
          if (put < buffer.length) return this.writeRest(offset, buffer, put);
        } catch (error) {
          if (isInterrupted(error)) return this.writeRest(offset, buffer, 0);
          return Promise.reject(fromSystemError(error));
        }
        if (start !== untimed) this.writes.record(start, performance.now());
        return done;
      }
    }
    return this.writeRest(offset, buffer, 0);
  }

  private async writeRest(offset: number, buffer: Uint8Array, put: number): Promise<void> {
    while (put < buffer.length) {
      const bytes = await transfer((callback) =>
        fs.write(this.fd, buffer, put, buffer.length - put, offset + put, callback),
      );
      if (bytes !== interrupted) put += bytes;
    }
  }

  async writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    let rest = buffers.slice();
    for (let at = offset; rest.length > 0; ) {
      const first = rest.slice(0, maxGathered);
      const bytes = await transfer((callback) => fs.writev(this.fd, first, at, callback));
      if (bytes === interrupted) continue;
      at += bytes;
      rest = behind(rest, bytes);
    }
  }

  flush(): Promise<void> {
    if (this.handle) return settled(this.handle.datasync());
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
    if (this.handle) return settled(this.handle.close());
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
async function settled(outcome: Promise<void>): Promise<void> {
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

/** What is left of the buffers behind the first `bytes` of them. */
function behind(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  const index = buffers.findIndex(({ length }) => (left -= length) < 0);
  if (index < 0) return [];
  const cut = buffers[index]!; // it was found
  return [cut.subarray(cut.length + left), ...buffers.slice(index + 1)];
}

/** In a callback nothing may be thrown: a bug rejects as itself. */
function asRejection(error: unknown): unknown {
  try {
    return fromSystemError(error);
  } catch (bug) {
    return bug;
  }
}
