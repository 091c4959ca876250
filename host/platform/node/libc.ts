/**
 * The system calls that Node does not offer, through koffi: open-file-description locks, lseek with SEEK_END, SEEK_DATA
 * and SEEK_HOLE, fallocate, copy_file_range, ioctl, reads of the page cache alone, and where a buffer is in memory
 * (O_DIRECT wants it aligned).
 *
 * koffi is an optional dependency and only used on Linux (koffi.ts). It is loaded when the first call is needed. Without
 * it `libc()` is undefined, everything still works, and whoever loses safety by it says so (image locks:
 * protocols/file/driver.ts).
 */
import { BlockError, type Errno, errnoNumbers } from '../../base/errors.ts';
import { loadKoffi } from './koffi.ts';

/** Linux, include/uapi/linux/fcntl.h and falloc.h. */
const F_GETFL = 3;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_ZERO_RANGE = 0x10;
/** include/uapi/linux/fs.h. */
const RWF_NOWAIT = 0x08;

export const FallocateMode = {
  /** Reserves space; extends the file. */
  allocate: 0,
  /** Gives space back; the range reads as zeros; the file keeps its size. */
  punchHole: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
  /** The range reads as zeros and keeps its space; extends the file. */
  zeroRange: FALLOC_FL_ZERO_RANGE,
} as const;

/**
 * struct flock where off_t has 64 bits and numbers are little-endian:
 *
 *    0  l_type   i16
 *    2  l_whence i16   (0: SEEK_SET)
 *    8  l_start  i64
 *   16  l_len    i64
 *   24  l_pid    i32   (0 for open-file-description locks)
 */
const flockBytes = 32;

/** What changes a longer range may take milliseconds and goes to the thread pool. */
export const inlineRangeBytes = 1 << 20;

/** Error numbers that only tell whether a call is to be repeated, or is not there. */
const EINTR = 4;
const ENOTTY = 25;

const SYNC_FILE_RANGE_WRITE = 2;
const ENOSYS = 38;

type IntCall = (...args: readonly unknown[]) => number;

/** `async` takes a callback behind the arguments, and has a thread of the pool make the call. */
export interface AsyncIntCall extends IntCall {
  async(...args: readonly unknown[]): void;
}

/** The part of koffi in use. */
export interface Koffi {
  /** Null: the program itself. */
  load(path: string | null): { func(definition: string): AsyncIntCall };
  errno(): number;
  address(value: Uint8Array): number | bigint;
  /** The memory at an address, for as long as it is there. */
  view(address: number, bytes: number): ArrayBuffer;
  readonly node: { poll(fd: number, events: { readable: true }, callback: () => void): PollHandle };
}

/** Somebody who waits for a descriptor, and keeps the process alive unless it was told not to. */
interface PollHandle {
  ref(): void;
  unref(): void;
}

/** Of a file that is open. */
interface FileRange {
  readonly fd: number;
  readonly offset: number;
  readonly bytes: number;
}

const namesOfErrno = new Map<number, Errno>(
  Object.entries(errnoNumbers).map(([name, value]) => [value, name as Errno]),
);

/** The operating error of an error number. */
export function errorOfNumber(value: number): BlockError {
  const name = namesOfErrno.get(value);
  return name === undefined ? new BlockError('EIO', `system error ${value}`) : new BlockError(name);
}

export class Libc {
  private readonly preadCall: IntCall;
  private readonly pwriteCall: IntCall;
  private readonly fcntl: IntCall;
  private readonly fcntlNumber: IntCall;
  private readonly lseek: IntCall;
  private readonly fallocateCall: AsyncIntCall;
  private readonly ioctlNumberCall: IntCall;
  private readonly ioctlMemoryCall: AsyncIntCall;
  /** These are looked for when they are first needed. */
  private copyFileRangeCall: AsyncIntCall | false | undefined;
  private syncFileRangeCall: AsyncIntCall | false | undefined;
  private preadvCall: IntCall | false | undefined;
  /** struct iovec: an address, and how many bytes there are. */
  private readonly vector = new BigUint64Array(2);
  private readonly lock = new DataView(new ArrayBuffer(flockBytes));
  private readonly lockBytes = new Uint8Array(this.lock.buffer);

  constructor(readonly koffi: Koffi) {
    const library = koffi.load(null);
    this.preadCall = library.func('int64_t pread(int fd, _Out_ void *buffer, size_t bytes, int64_t offset)');
    this.pwriteCall = library.func(
      'int64_t pwrite(int fd, const void *buffer, size_t bytes, int64_t offset)',
    );
    this.fcntl = library.func('int fcntl(int fd, int command, _Inout_ void *lock)');
    this.fcntlNumber = library.func('int fcntl(int fd, int command, long value)');
    this.lseek = library.func('int64_t lseek(int fd, int64_t offset, int whence)');
    this.fallocateCall = library.func('int fallocate(int fd, int mode, int64_t offset, int64_t bytes)');
    this.ioctlNumberCall = library.func('int ioctl(int fd, unsigned long request, long value)');
    this.ioctlMemoryCall = library.func('int ioctl(int fd, unsigned long request, _Inout_ void *memory)');
  }

  /** Fills `buffer` from `offset`: how many bytes of it, or -1. */
  pread(fd: number, buffer: Uint8Array, offset: number): number {
    return this.preadCall(fd, buffer, buffer.length, offset);
  }

  /** Writes `buffer` at `offset`: how many bytes of it, or -1. */
  pwrite(fd: number, buffer: Uint8Array, offset: number): number {
    return this.pwriteCall(fd, buffer, buffer.length, offset);
  }

  /** As `pread`, of what is in the page cache alone: up to where a disk would have to be waited for. */
  preadCached(fd: number, buffer: Uint8Array, offset: number): number {
    this.preadvCall ??= this.find(
      'int64_t preadv2(int fd, const void *vectors, int count, int64_t offset, int flags)',
    );
    const { vector } = this;
    vector[0] = BigInt(this.koffi.address(buffer));
    vector[1] = BigInt(buffer.length);
    return this.preadvCall ? this.preadvCall(fd, vector, 1, offset, RWF_NOWAIT) : -1;
  }

  private lastError(): BlockError {
    return errorOfNumber(this.koffi.errno());
  }

  /** How a file was opened, by the flags of open(2). */
  flagsOf(fd: number): number {
    const flags = this.fcntlNumber(fd, F_GETFL, 0);
    if (flags < 0) throw this.lastError();
    return flags;
  }

  private describeLock(type: number, offset: number): void {
    this.lock.setInt16(0, type, true);
    this.lock.setInt16(2, 0, true);
    this.lock.setBigInt64(8, BigInt(offset), true);
    this.lock.setBigInt64(16, 1n, true);
    this.lock.setInt32(24, 0, true);
  }

  /** Takes a shared lock on one byte. EAGAIN when somebody has an exclusive one. */
  lockShared(fd: number, offset: number): void {
    this.describeLock(F_RDLCK, offset);
    if (this.fcntl(fd, F_OFD_SETLK, this.lockBytes) < 0) throw this.lastError();
  }

  unlock(fd: number, offset: number): void {
    this.describeLock(F_UNLCK, offset);
    if (this.fcntl(fd, F_OFD_SETLK, this.lockBytes) < 0) throw this.lastError();
  }

  /** Whether another open file description holds any lock on the byte. */
  isLockedByOther(fd: number, offset: number): boolean {
    this.describeLock(F_WRLCK, offset);
    if (this.fcntl(fd, F_OFD_GETLK, this.lockBytes) < 0) throw this.lastError();
    return this.lock.getInt16(0, true) !== F_UNLCK;
  }

  /** Start of the first data at or after `offset`; undefined when there is none before the end of the file. */
  seekData(fd: number, offset: number): number | undefined {
    return this.seek(fd, offset, SEEK_DATA);
  }

  /** Start of the first hole at or after `offset`; the end of the file counts as one. Undefined at or past the end. */
  seekHole(fd: number, offset: number): number | undefined {
    return this.seek(fd, offset, SEEK_HOLE);
  }

  /** Where the file or device ends. EINVAL for what has no end. */
  seekEnd(fd: number): number {
    const end = this.lseek(fd, 0, SEEK_END);
    if (end < 0) throw this.lastError();
    return end;
  }

  private seek(fd: number, offset: number, whence: number): number | undefined {
    const found = this.lseek(fd, offset, whence);
    if (found >= 0) return found;
    const error = this.lastError();
    if (error.errno === 'ENXIO') return undefined;
    throw error;
  }

  /** False when the file system does not have the operation; then nothing changed. */
  fallocate(fd: number, mode: number, offset: number, bytes: number): Promise<boolean> {
    return this.changeRange(bytes, this.fallocateCall, [fd, mode, offset, bytes]);
  }

  /**
   * Copies between two files without the bytes coming here; the file system may share them. False when it cannot, for any
   * reason: then part of the range may have been copied.
   */
  async copyFileRange(from: FileRange, to: Omit<FileRange, 'bytes'>): Promise<boolean> {
    this.copyFileRangeCall ??= this.find(
      'int64_t copy_file_range(int from, _Inout_ int64_t *fromOffset, int to, _Inout_ int64_t *toOffset, size_t bytes, unsigned int flags)',
    );
    const call = this.copyFileRangeCall;
    if (!call) return false;
    for (let done = 0; done < from.bytes; ) {
      const places = [from, to].map(({ offset }) => new BigInt64Array([BigInt(offset + done)]));
      const values = [from.fd, places[0], to.fd, places[1], from.bytes - done, 0];
      const copied =
        from.bytes - done > inlineRangeBytes ? await inThreadPool(call, values) : call(...values);
      // Nothing at all: the file ends here.
      if (copied === 0 || (copied < 0 && this.koffi.errno() !== EINTR)) return false;
      done += Math.max(0, copied);
    }
    return true;
  }

  /** Has the device begin to take what was written to the range. Settles when it is asked; it is only a wish. */
  async startWriteback(fd: number, offset: number, bytes: number): Promise<void> {
    this.syncFileRangeCall ??= this.find(
      'int sync_file_range(int fd, int64_t offset, int64_t bytes, unsigned int flags)',
    );
    const call = this.syncFileRangeCall;
    // In the thread pool: it waits while the device has much to do.
    if (call) await inThreadPool(call, [fd, offset, bytes, SYNC_FILE_RANGE_WRITE]);
  }

  /** What some C libraries do not have. False: this one is among them. */
  private find(definition: string): AsyncIntCall | false {
    try {
      return this.koffi.load(null).func(definition);
    } catch {
      return false;
    }
  }

  /** An ioctl that takes a range of a block device as two u64. False when the device does not have it. */
  rangeIoctl(fd: number, request: number, offset: number, bytes: number): Promise<boolean> {
    const range = new BigUint64Array([BigInt(offset), BigInt(bytes)]);
    return this.changeRange(bytes, this.ioctlMemoryCall, [fd, request, range]);
  }

  private async changeRange(bytes: number, call: AsyncIntCall, values: readonly unknown[]): Promise<boolean> {
    if (bytes > inlineRangeBytes) {
      if ((await inThreadPool(call, values)) === 0) return true;
      // errno belongs to the thread that made the call: ask again on this one. Repeating it is harmless.
    }
    while (call(...values) < 0) {
      const errno = this.koffi.errno();
      if (errno === EINTR) continue;
      const error = this.lastError();
      if (error.errno === 'ENOTSUP' || errno === ENOSYS || errno === ENOTTY) return false;
      throw error;
    }
    return true;
  }

  /** What an ioctl with a number as its argument gives; undefined when it fails, as one that the device does not have. */
  ioctl(fd: number, request: number, value: number): number | undefined {
    const result = this.ioctlNumberCall(fd, request, value);
    return result < 0 ? undefined : result;
  }

  /** The int that an ioctl stores. */
  ioctlInt(fd: number, request: number): number {
    const stored = new Int32Array(1);
    if (this.ioctlMemoryCall(fd, request, stored) < 0) throw this.lastError();
    return stored[0]!; // it has one element
  }

  /** An ioctl that reads or changes `memory`. False when it fails. */
  memoryIoctl(fd: number, request: number, memory: Uint32Array): boolean {
    return this.ioctlMemoryCall(fd, request, memory) >= 0;
  }

  /** How far the first byte of `buffer` is past a multiple of `alignment` in memory. */
  misalignment(buffer: Uint8Array, alignment: number): number {
    // Addresses of programs are below 2^53.
    return Number(this.koffi.address(buffer)) % alignment;
  }
}

/** Errno stays with the thread that made the call. */
export function inThreadPool(call: AsyncIntCall, values: readonly unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...values, (error: Error | null, value: number) => (error ? reject(error) : resolve(value)));
  });
}

let loaded: Libc | undefined;
let tried = false;

/** What `libc` has given to somebody: for those who can do without and would not load it. */
export function loadedLibc(): Libc | undefined {
  return loaded;
}

/** Undefined where koffi is not installed or the host is not a Linux it is known to fit. */
export function libc(): Libc | undefined {
  if (!tried) {
    tried = true;
    const koffi = loadKoffi<Koffi>();
    if (koffi) loaded = new Libc(koffi);
  }
  return loaded;
}
