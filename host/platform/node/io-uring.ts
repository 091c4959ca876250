/**
 * One io_uring of the kernel (io_uring(7)): entries go into the submission queue, `enter` hands them over, completions are
 * reaped. Who asked for what, and when to enter, is in ring-requests.ts.
 *
 * Both queues are memory that the kernel shares. Whoever fills an entry keeps its buffer alive until the completion has
 * come. For the thread that made it: with kernels that know how, completions come only when that thread enters.
 *
 *     io_uring_params (120 bytes, u32)       submission entry (64 bytes)          completion (16 bytes)
 *       0 sq_entries    4 cq_entries           0 opcode u8      1 flags u8          0 user_data u64
 *       8 flags        20 features             4 fd i32         8 offset u64        8 res i32
 *      40 offsets of the submission queue     16 address u64   24 length u32
 *      80 offsets of the completion queue     28 flags of the operation u32
 *                                             32 user_data u64
 */
import type { BlockError } from '../../base/errors.ts';
import { errorOfNumber, type Koffi } from './libc.ts';

/** The same numbers on every architecture that libc.ts is for. */
const SYS_io_uring_setup = 425;
const SYS_io_uring_enter = 426;
const SYS_io_uring_register = 427;

const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
const IORING_ENTER_GETEVENTS = 1;
const IORING_REGISTER_EVENTFD = 4;
const IORING_REGISTER_IOWQ_MAX_WORKERS = 19;
/** One mapping for both queues, no completion is lost, and (of Linux 5.6, which has all operations in use) RW_CUR_POS. */
const neededFeatures = (1 << 0) | (1 << 1) | (1 << 3);
const IORING_OFF_SQES = 0x10000000;

const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const EFD_CLOEXEC_NONBLOCK = 0x80800;

const EINVAL = 22;
const ENOSYS = 38;

/** How many entries the submission queue has. */
export const ringEntries = 256;
/** Files that cannot wait by themselves are waited for by threads of the kernel: as many as QEMU's thread pool has. */
const maxWorkers = 64;

export const Operation = { read: 22, write: 23, fsync: 3, fallocate: 17 } as const;
/** Of an entry: to be carried out by a thread of the kernel, and not while entering. */
export const IOSQE_ASYNC = 1 << 4;
export const IORING_FSYNC_DATASYNC = 1;

export interface Entry {
  operation: number;
  fd: number;
  offset: number;
  buffer: Uint8Array | undefined;
  /** Of fallocate, which has its arguments where others have their memory. */
  space?: { readonly mode: number; readonly bytes: number };
  entryFlags: number;
  operationFlags: number;
}

type Call = ReturnType<ReturnType<Koffi['load']>['func']>;

export class IoUring {
  private readonly fd: number;
  private readonly enterCall: Call;
  private readonly readCall: Call;
  private readonly event: { fd: number; count: Uint8Array };
  private readonly poll: { ref(): void; unref(): void };
  private readonly queues: Uint32Array;
  private readonly results: Int32Array;
  private readonly entries: Uint32Array;
  private readonly entryBytes: Uint8Array;
  /** Where in `queues` what is. */
  private readonly at: { sqTail: number; cqHead: number; cqTail: number; completions: number };
  private readonly completionMask: number;
  private tail = 0;

  /** `onEvent`: there may be completions. Errors: the kernel has none, or none for us. */
  constructor(
    private readonly koffi: Koffi,
    onEvent: () => void,
  ) {
    const library = koffi.load(null);
    this.enterCall = library.func(
      'long syscall(long number, int fd, unsigned int submit, unsigned int wait, unsigned int flags, void *signals, size_t bytes)',
    );
    this.readCall = library.func('int64_t read(int fd, _Out_ void *buffer, size_t bytes)');
    const params = this.setUp(
      library.func('long syscall(long number, unsigned int entries, _Inout_ void *params)'),
    );
    this.fd = params.fd;
    const { words } = params;
    // Positions within them, in words.
    const sq = words.subarray(10).map((offset) => offset / 4);
    const cq = words.subarray(20).map((offset) => offset / 4);
    const [sqTail, sqArray] = [sq[1]!, sq[6]!]; // the subarrays reach that far
    const [cqHead, cqTail, cqMask, completions] = [cq[0]!, cq[1]!, cq[2]!, cq[5]!];
    const [sqEntries, cqEntries] = [words[0]!, words[1]!];
    const mmap = library.func(
      'uintptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int fd, int64_t offset)',
    );
    const map = (bytes: number, offset: number): ArrayBuffer =>
      koffi.view(mmap(0, bytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, this.fd, offset), bytes);
    const queues = map(Math.max(sqArray + sqEntries, completions + cqEntries * 4) * 4, 0);
    const entries = map(sqEntries * 64, IORING_OFF_SQES);
    this.queues = new Uint32Array(queues);
    this.results = new Int32Array(queues);
    this.entries = new Uint32Array(entries);
    this.entryBytes = new Uint8Array(entries);
    this.at = { sqTail, cqHead, cqTail, completions };
    this.completionMask = this.queues[cqMask]!; // one of its words
    for (let index = 0; index < sqEntries; index++) this.queues[sqArray + index] = index;
    const register = library.func(
      'long syscall(long number, int fd, unsigned int what, void *argument, unsigned int count)',
    );
    // Kernels before 5.15 decide for themselves.
    register(
      SYS_io_uring_register,
      this.fd,
      IORING_REGISTER_IOWQ_MAX_WORKERS,
      new Uint32Array([maxWorkers, 0]),
      2,
    );
    const eventFd = library.func('int eventfd(unsigned int count, int flags)')(0, EFD_CLOEXEC_NONBLOCK);
    this.event = { fd: eventFd, count: new Uint8Array(8) };
    if (
      eventFd < 0 ||
      register(SYS_io_uring_register, this.fd, IORING_REGISTER_EVENTFD, new Int32Array([eventFd]), 1) < 0
    )
      throw this.lastError();
    this.poll = koffi.node.poll(eventFd, { readable: true }, () => {
      this.readCall(this.event.fd, this.event.count, 8);
      onEvent();
    });
    this.poll.unref();
  }

  private setUp(setup: Call): { fd: number; words: Uint32Array } {
    for (const flags of [IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0]) {
      const words = new Uint32Array(30);
      words[2] = flags;
      const fd = setup(SYS_io_uring_setup, ringEntries, words);
      if (fd >= 0) {
        if (((words[5] ?? 0) & neededFeatures) !== neededFeatures) throw errorOfNumber(ENOSYS);
        return { fd, words };
      }
      // Before Linux 6.1 those flags are not known.
      if (flags === 0 || this.koffi.errno() !== EINVAL) break;
    }
    throw this.lastError();
  }

  private lastError(): BlockError {
    return errorOfNumber(this.koffi.errno());
  }

  /** Completions that are to come keep the process alive, or do not. */
  keepAlive(isAwaited: boolean): void {
    if (isAwaited) this.poll.ref();
    else this.poll.unref();
  }

  /** Puts an entry into the queue, which has room: nobody has more than `ringEntries` without a completion. */
  push({ operation, fd, offset, buffer, space, entryFlags, operationFlags }: Entry, id: number): void {
    const { entries } = this;
    const word = (this.tail % ringEntries) * 16;
    entries.fill(0, word, word + 16);
    this.entryBytes[word * 4] = operation;
    this.entryBytes[word * 4 + 1] = entryFlags;
    entries[word + 1] = fd;
    setLong(entries, word + 2, offset);
    if (buffer) {
      setLong(entries, word + 4, Number(this.koffi.address(buffer)));
      entries[word + 6] = buffer.length;
    } else if (space) {
      setLong(entries, word + 4, space.bytes);
      entries[word + 6] = space.mode;
    }
    entries[word + 7] = operationFlags;
    entries[word + 8] = id;
    this.tail = (this.tail + 1) >>> 0;
    Atomics.store(this.queues, this.at.sqTail, this.tail);
  }

  /**
   * Hands `count` entries over, and has completions delivered, waiting for so many of them. How many entries were taken, or
   * an error number below zero.
   */
  enter(count: number, completions = 0): number {
    const taken = this.enterCall(
      SYS_io_uring_enter,
      this.fd,
      count,
      completions,
      IORING_ENTER_GETEVENTS,
      null,
      0,
    );
    return taken < 0 ? -this.koffi.errno() : taken;
  }

  /** Calls back for each completion: how many bytes, or an error number below zero. */
  reap(take: (id: number, result: number) => void): void {
    const { queues, results, at } = this;
    for (;;) {
      const head = queues[at.cqHead]!; // one of its words
      if (head === Atomics.load(queues, at.cqTail)) return;
      const word = at.completions + (head & this.completionMask) * 4;
      const [id, result] = [queues[word]!, results[word + 2]!]; // the mask keeps it inside
      // It is free again before anybody acts on it.
      Atomics.store(queues, at.cqHead, (head + 1) >>> 0);
      take(id, result);
    }
  }
}

/** A number below 2^53 as two little-endian words. */
function setLong(words: Uint32Array, index: number, value: number): void {
  words[index] = value;
  words[index + 1] = value / 2 ** 32;
}
