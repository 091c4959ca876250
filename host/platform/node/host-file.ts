/**
 * An open file, or block device, of the operating system.
 *
 * This is the hot path of everything that runs on Node. A small request is made in place and returns a promise that
 * is already settled, which from the page cache is an order of magnitude cheaper than the thread pool; large ones, and
 * small ones while the disk is slow (latency-watch.ts), and all past the page cache, go to the kernel's io_uring, or to the
 * thread pool where there is none (slow-requests.ts), and overlap. fdatasync always goes there.
 * What a file does with its space, where a device differs, is in file-space.ts; what Node lacks comes from libc.ts.
 */
import * as fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { BlockError } from '../../base/errors.ts';
import { InFlight } from '../../base/in-flight.ts';
import { settled } from '../../base/settled.ts';
import type {
  ByteLocks,
  FileLayout,
  FileOpenOptions,
  FileStatus,
  HostDevice,
  HostExtent,
  HostFile,
} from '../platform.ts';
import { DeviceSpace, deviceOf } from './device-space.ts';
import { call, fromSystemError } from './errors.ts';
import { adviseLayout } from './file-layout.ts';
import { type FileSpace, RegularSpace } from './file-space.ts';
import { readCached, readInPlace, writeInPlace } from './in-place.ts';
import { LatencyWatch } from './latency-watch.ts';
import { inlineRangeBytes, libc } from './libc.ts';
import { RingRequests, ringRequests } from './ring-requests.ts';
import { interrupted, repeat, type SlowRequests, threadPool, transfer } from './slow-requests.ts';

/** What takes about as long in place as elsewhere: copying 256 KiB takes 26 µs, a turn through the thread pool 60. */
const inlineBytes = 256 << 10;

/** A multiple of every alignment that requests past the page cache need. */
export const anyAlignment = 4096;

/** Buffers in one call: IOV_MAX of Linux. */
const maxGathered = 1024;

/** In place of a start time. */
const untimed = -1;

export interface DescriptorKind {
  /** It is of a block device. */
  isDevice?: boolean;
  /** Past the page cache. */
  isDirect?: boolean;
  /** What is in it is in memory, whatever way leads there: only threads of the kernel's could make requests overlap, and are slower. */
  isMemory?: boolean;
  /** That the descriptor is of, where Node lets only a handle do everything. */
  handle?: FileHandle;
  /** As the options of opening. */
  aio?: FileOpenOptions['aio'];
  chosen?: FileOpenOptions['chosen'];
  /** No read and no write is made in place. */
  neverInPlace?: boolean;
  /** How they are made then. Absent: as `aio` says, where that is to be had. */
  requests?: SlowRequests;
}

export class NodeFile implements HostFile {
  readonly requestAlignment: number = 1;
  // One per direction: reads miss the page cache, writes wait for dirty pages to drain.
  private readonly reads = new LatencyWatch();
  private readonly writes = new LatencyWatch();
  private requests: SlowRequests | undefined;
  /** Requests up to this size may be made in place. */
  private readonly inPlaceBytes: number;
  /** A descriptor for the ring alone, where it has one. */
  private ringFd: number | undefined;
  private readonly underWay = new InFlight();
  private byteLocks: ByteLocks | undefined;
  private readonly handle: FileHandle | undefined;
  private readonly space: FileSpace;
  readonly device: HostDevice | undefined;

  constructor(
    protected fd: number,
    private readonly kind: DescriptorKind = {},
  ) {
    const { isDevice = false, handle, aio, requests, neverInPlace } = kind;
    this.handle = handle;
    this.requests = requests;
    this.inPlaceBytes = neverInPlace ? 0 : inlineBytes;
    const c = isDevice ? libc() : undefined;
    if (isDevice && !c) throw new BlockError('ENOTSUP', 'Block devices need the optional package koffi');
    this.space = c ? new DeviceSpace(c) : new RegularSpace((...range) => this.fallocate(...range));
    this.device = c && deviceOf(c, fd);
    // Whoever asked for it wants to know.
    if (aio === 'io_uring') this.requests ??= this.chooseRequests();
  }

  /** Requests are slow, and wait side by side. Without a ring a few are tried in place, as a disk may be quick. */
  private get overlaps(): boolean {
    const { isDirect, isMemory } = this.kind;
    return isDirect === true && isMemory !== true && this.slow.name === 'io_uring';
  }

  /** Memory is never slow, whatever else the processor does meanwhile. */
  private isTimed(watch: LatencyWatch, { length }: Uint8Array): boolean {
    return this.kind.isMemory !== true && watch.isTimed(length);
  }

  advise(layout: FileLayout): void {
    const c = libc();
    if (c) adviseLayout(c, this.fd, layout);
  }

  /** How requests are made that are not made in place. Chosen when the first one comes. */
  protected get slow(): SlowRequests {
    this.requests ??= this.chooseRequests();
    return this.requests;
  }

  /** What `slow` is given: to be asked for after it. */
  private get slowFd(): number {
    return this.ringFd ?? this.fd;
  }

  private chooseRequests(): SlowRequests {
    const { aio, chosen } = this.kind;
    const ring = aio === 'threads' || this.handle ? undefined : ringRequests();
    const isRing = ring instanceof RingRequests;
    if (isRing) this.ringFd = reopened(this.fd);
    if (isRing && this.ringFd !== undefined) {
      chosen?.('io_uring', '');
      return ring;
    }
    chosen?.('threads', isRing ? 'there is no /proc' : (ring?.message ?? 'aio=threads'));
    return threadPool;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.readAtOnce(offset, buffer) ? settled : this.readSlowly(offset, buffer);
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    return this.readAtOnce(offset, buffer);
  }

  private readAtOnce(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length > this.inPlaceBytes || this.overlaps) return false;
    const start = this.isTimed(this.reads, buffer) ? performance.now() : untimed;
    if (start !== untimed && !this.reads.mayBlock(start))
      return !this.kind.isDirect && readCached(this.fd, buffer, offset) === buffer.length;
    if (readInPlace(this.fd, buffer, offset) < buffer.length) return false;
    if (start !== untimed) this.reads.record(start, performance.now(), buffer.length);
    return true;
  }

  /** A read beside others, until it is complete or the file ends. */
  private async readSlowly(offset: number, buffer: Uint8Array): Promise<void> {
    const { slow, slowFd } = this;
    this.underWay.begin();
    try {
      const done = await repeat(buffer, offset, (rest, at) => slow.read(slowFd, rest, at));
      buffer.fill(0, done);
    } finally {
      this.underWay.end();
    }
  }

  write(offset: number, buffer: Uint8Array): Promise<void> {
    return this.writeAtOnce(offset, buffer) ? settled : this.writeSlowly(offset, buffer);
  }

  private writeAtOnce(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length > this.inPlaceBytes || this.overlaps) return false;
    const start = this.isTimed(this.writes, buffer) ? performance.now() : untimed;
    if (start !== untimed && !this.writes.mayBlock(start)) return false;
    if (writeInPlace(this.fd, buffer, offset) < buffer.length) return false;
    if (start !== untimed) this.writes.record(start, performance.now(), buffer.length);
    return true;
  }

  /** A write beside others. What was written in place before is written again: a failure is told by the last call. */
  private async writeSlowly(offset: number, buffer: Uint8Array): Promise<void> {
    const { slow, slowFd } = this;
    this.underWay.begin();
    try {
      const done = await repeat(buffer, offset, (rest, at) => slow.write(slowFd, rest, at));
      // Nothing at all, without an error: there is no place for it.
      if (done < buffer.length) throw new BlockError('ENOSPC');
    } finally {
      this.underWay.end();
    }
  }

  async writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const { fd } = this;
    this.underWay.begin();
    try {
      let rest = buffers.slice();
      for (let at = offset; rest.length > 0; ) {
        const first = rest.slice(0, maxGathered);
        const bytes = await transfer((callback) => fs.writev(fd, first, at, callback));
        if (bytes === interrupted) continue;
        at += bytes;
        rest = behind(rest, bytes);
      }
    } finally {
      this.underWay.end();
    }
  }

  async flush(): Promise<void> {
    if (this.handle) return ofHandle(this.handle.datasync());
    this.underWay.begin();
    try {
      const { slow, slowFd } = this;
      await slow.datasync(slowFd);
    } finally {
      this.underWay.end();
    }
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

  /** What is long goes beside others where there is a ring. */
  private async fallocate(mode: number, offset: number, bytes: number): Promise<boolean> {
    const c = libc();
    if (!c) return false;
    const mayBeInPlace = bytes <= (this.kind.neverInPlace ? 0 : inlineRangeBytes);
    const slow = mayBeInPlace ? undefined : this.slow;
    if (!slow?.fallocate) return c.fallocate(this.fd, mode, offset, bytes);
    this.underWay.begin();
    try {
      return await slow.fallocate(this.slowFd, mode, offset, bytes);
    } finally {
      this.underWay.end();
    }
  }

  async copyFrom(source: HostFile, sourceOffset: number, offset: number, bytes: number): Promise<boolean> {
    const c = libc();
    if (!c || !(source instanceof NodeFile)) return false;
    return c.copyFileRange({ fd: source.fd, offset: sourceOffset, bytes }, { fd: this.fd, offset });
  }

  startWriteback(offset: number, bytes: number): void {
    const c = libc();
    if (!c || this.fd < 0) return;
    this.underWay.begin();
    void c.startWriteback(this.fd, offset, bytes).finally(() => this.underWay.end());
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

  async close(): Promise<void> {
    const { fd, ringFd } = this;
    // The number may soon mean another file: nothing new comes to it, and what is under way is over before.
    this.fd = -1;
    this.ringFd = -1;
    await this.underWay.whenIdle();
    if (ringFd !== undefined) await call((callback) => fs.close(ringFd, callback));
    if (this.handle) return ofHandle(this.handle.close());
    return call((callback) => fs.close(fd, callback));
  }
}

/**
 * The same file by a description of its own, for the ring. The kernel lets go of what a ring was given only some time after the
 * process has ended: were it the description that has the locks, whoever is started next would still find them. And the ring takes
 * O_NONBLOCK for the wish to hear EAGAIN from files that cannot wait by themselves. Undefined: there is no /proc.
 */
function reopened(fd: number): number | undefined {
  const { O_RDWR, O_WRONLY, O_DIRECT } = fs.constants;
  try {
    const kept = (libc()?.flagsOf(fd) ?? 0) & (O_RDWR | O_WRONLY | O_DIRECT);
    return fs.openSync(`/proc/self/fd/${fd}`, kept);
  } catch {
    return undefined;
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

/** One call of the promise API with operating errors. */
async function ofHandle(outcome: Promise<void>): Promise<void> {
  try {
    await outcome;
  } catch (error) {
    throw fromSystemError(error);
  }
}

/** What is left of the buffers behind the first `bytes` of them. */
function behind(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  const index = buffers.findIndex(({ length }) => (left -= length) < 0);
  if (index < 0) return [];
  const cut = buffers[index]!; // it was found
  return [cut.subarray(cut.length + left), ...buffers.slice(index + 1)];
}
