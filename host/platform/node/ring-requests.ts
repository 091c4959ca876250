/**
 * The requests that are with the kernel's io_uring (io-uring.ts): who waits for which.
 *
 * There is one ring for the main thread. What is asked for in one turn of the event loop is handed over together at its end,
 * or as soon as there is a batch of it; what can be done at once is done then, and the rest wakes the event loop. While disks
 * are quick one of the small ones is waited for as they are handed over: whoever asks again when one is done has the next on its way. More
 * requests than the ring has room for wait here. Threads have no ring: one that is ended while the kernel still writes to
 * its buffers would leave memory that others get to the kernel.
 */
import { isMainThread } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { BlockError } from '../../base/errors.ts';
import {
  type Entry,
  IORING_FSYNC_DATASYNC,
  IOSQE_ASYNC,
  IoUring,
  Operation,
  ringEntries,
} from './io-uring.ts';
import { LatencyWatch } from './latency-watch.ts';
import { errorOfNumber, libc } from './libc.ts';
import { interrupted, type SlowRequests } from './slow-requests.ts';

/** So many are not held back until the end of the turn. */
const batch = 32;
/** Copying that much is for another thread than this one. */
const bulkBytes = 256 << 10;

/** A request up to this size may be waited for in place, if disks are quick. */
const waitBytes = 64 << 10;

const EINTR = 4;
const EAGAIN = 11;
const EBUSY = 16;

/** Its buffer is in memory for as long as it is here. */
interface Request {
  readonly entry: Entry;
  resolve(result: number): void;
  reject(error: BlockError): void;
}

export class RingRequests implements SlowRequests {
  readonly name = 'io_uring';
  /** By their numbers. */
  private readonly underWay = new Array<Request | undefined>(ringEntries).fill(undefined);
  private readonly freeIds = Array.from({ length: ringEntries }, (_, id) => id);
  private readonly heldBack: Request[] = [];
  /** In the submission queue, and not handed over. */
  private unsubmitted = 0;
  /** Under way, and not worth waiting for in place. */
  private longOnes = 0;
  private isDue = false;
  private readonly latencies = new LatencyWatch();

  /** `ring`: whose events call `wake`. */
  constructor(private readonly ring: Pick<IoUring, 'push' | 'enter' | 'reap' | 'keepAlive'>) {}

  read(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.request(transferOf(Operation.read, fd, buffer, offset));
  }

  write(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.request(transferOf(Operation.write, fd, buffer, offset));
  }

  async datasync(fd: number): Promise<void> {
    const operationFlags = IORING_FSYNC_DATASYNC;
    const entry = {
      operation: Operation.fsync,
      fd,
      offset: 0,
      buffer: undefined,
      entryFlags: 0,
      operationFlags,
    };
    while ((await this.request(entry)) === interrupted);
  }

  async fallocate(fd: number, mode: number, offset: number, bytes: number): Promise<boolean> {
    const space = { mode, bytes };
    const entry = {
      ...{ operation: Operation.fallocate, fd, offset, buffer: undefined, space },
      ...{ entryFlags: 0, operationFlags: 0 },
    };
    try {
      while ((await this.request(entry)) === interrupted);
      return true;
    } catch (error) {
      if (error instanceof BlockError && error.errno === 'ENOTSUP') return false;
      throw error;
    }
  }

  private request(entry: Entry): Promise<number> {
    return new Promise((resolve, reject) => {
      this.heldBack.push({ entry, resolve, reject });
      this.start();
    });
  }

  /** Queues what there is room for. */
  private start(): void {
    while (this.heldBack.length > 0 && this.freeIds.length > 0) {
      const [request, id] = [this.heldBack.shift()!, this.freeIds.pop()!]; // there is one of each
      if (this.freeIds.length === ringEntries - 1) this.ring.keepAlive(true);
      this.underWay[id] = request;
      if (isLong(request.entry)) this.longOnes++;
      this.ring.push(request.entry, id);
      this.unsubmitted++;
    }
    if (this.unsubmitted >= batch) this.submit();
    else if (this.unsubmitted > 0) this.submitSoon();
  }

  private submitSoon(): void {
    if (this.isDue) return;
    this.isDue = true;
    process.nextTick(() => {
      this.isDue = false;
      if (this.unsubmitted > 0 && this.longOnes === 0) this.waitInPlace();
      this.submit();
    });
  }

  private submit(): void {
    while (this.unsubmitted > 0) {
      const taken = this.ring.enter(this.unsubmitted);
      if (taken === -EINTR) continue;
      if (taken === -EAGAIN || taken === -EBUSY || taken === 0) {
        // The kernel has no memory for more just now.
        setImmediate(() => this.submit());
        break;
      }
      assert(taken > 0, `io_uring_enter fails with ${-taken}`);
      this.unsubmitted -= taken;
    }
    this.reap();
  }

  /** Hands over, and waits for one of those under way: a turn of the event loop may be longer than that takes. */
  private waitInPlace(): void {
    const start = performance.now();
    if (!this.latencies.mayBlock(start)) return;
    const taken = this.ring.enter(this.unsubmitted, 1);
    if (taken <= 0) return;
    this.unsubmitted -= taken;
    this.latencies.record(start, performance.now(), 0);
  }

  /** There may be completions. */
  wake(): void {
    // These are delivered by entering.
    if (this.unsubmitted === 0) this.ring.enter(0);
    this.submit();
  }

  private reap(): void {
    this.ring.reap((id, result) => {
      const { entry, resolve, reject } = this.underWay[id]!; // the kernel knows no others
      this.underWay[id] = undefined;
      if (isLong(entry)) this.longOnes--;
      if (this.freeIds.push(id) === ringEntries) this.ring.keepAlive(false);
      if (result >= 0) resolve(result);
      else if (result === -EINTR || result === -EAGAIN) resolve(interrupted);
      else reject(errorOfNumber(-result));
    });
    if (this.heldBack.length > 0) this.start();
  }
}

function transferOf(operation: number, fd: number, buffer: Uint8Array, offset: number): Entry {
  const entryFlags = buffer.length > bulkBytes ? IOSQE_ASYNC : 0;
  return { operation, fd, offset, buffer, entryFlags, operationFlags: 0 };
}

function isLong({ buffer }: Entry): boolean {
  return !buffer || buffer.length > waitBytes;
}

let ring: RingRequests | BlockError | undefined;

/** The ring of this process, made when it is asked for first; or why there is none. */
export function ringRequests(): RingRequests | BlockError {
  ring ??= makeRing();
  return ring;
}

function makeRing(): RingRequests | BlockError {
  const c = libc();
  if (!c) return new BlockError('ENOTSUP', 'it needs Linux and the optional package koffi');
  if (!isMainThread) return new BlockError('ENOTSUP', 'it is for the main thread');
  try {
    const requests: RingRequests = new RingRequests(new IoUring(c.koffi, () => requests.wake()));
    return requests;
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
}
