/**
 * The requests that are with the kernel's io_uring (io-uring.ts): who waits for which.
 *
 * There is one ring for the main thread. What is asked for in one turn of the event loop is handed over together at its end,
 * or as soon as there is a batch of it; what can be done at once is done then, and the rest wakes the event loop. More
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
interface Request extends Entry {
  resolve(result: number): void;
  reject(error: BlockError): void;
}

export class RingRequests implements SlowRequests {
  readonly name = 'io_uring';
  private readonly underWay = new Map<number, Request>();
  private readonly freeIds = Array.from({ length: ringEntries }, (_, id) => id);
  private readonly heldBack: Request[] = [];
  /** In the submission queue, and not handed over. */
  private unsubmitted = 0;
  private isDue = false;
  /** Of those under way, what threads of the kernel carry out. */
  private copies = 0;
  private readonly latencies = new LatencyWatch();

  /** `ring`: whose events call `wake`. */
  constructor(private readonly ring: Pick<IoUring, 'push' | 'enter' | 'reap' | 'keepAlive'>) {}

  isCopying(): boolean {
    if (this.copies > 0) this.wake();
    return this.copies > 0;
  }

  read(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.request({ ...transferOf(fd, buffer, offset), operation: Operation.read });
  }

  write(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.request({ ...transferOf(fd, buffer, offset), operation: Operation.write });
  }

  async datasync(fd: number): Promise<void> {
    const entry = { operation: Operation.fsync, fd, offset: 0, entryFlags: 0 };
    while ((await this.request({ ...entry, operationFlags: IORING_FSYNC_DATASYNC })) === interrupted);
  }

  private request(entry: Entry): Promise<number> {
    return new Promise((resolve, reject) => {
      this.heldBack.push({ ...entry, resolve, reject });
      this.start();
    });
  }

  /** Queues what there is room for. */
  private start(): void {
    while (this.heldBack.length > 0 && this.freeIds.length > 0) {
      const [request, id] = [this.heldBack.shift()!, this.freeIds.pop()!]; // there is one of each
      if (this.underWay.size === 0) this.ring.keepAlive(true);
      this.underWay.set(id, request);
      if (request.entryFlags & IOSQE_ASYNC) this.copies++;
      this.ring.push(request, id);
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
      this.submit();
    });
  }

  private submit(): void {
    if (this.isAlone()) this.waitInPlace();
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

  /** One small request, and nobody else to make it wait with: a turn of the event loop may be longer than it takes. */
  private isAlone(): boolean {
    if (this.unsubmitted !== 1 || this.underWay.size !== 1) return false;
    for (const { buffer } of this.underWay.values()) if (!buffer || buffer.length > waitBytes) return false;
    return true;
  }

  private waitInPlace(): void {
    const start = performance.now();
    if (!this.latencies.mayBlock(start) || this.ring.enter(1, 1) !== 1) return;
    this.unsubmitted = 0;
    this.latencies.record(start, performance.now());
  }

  /** There may be completions. */
  wake(): void {
    // These are delivered by entering.
    if (this.unsubmitted === 0) this.ring.enter(0);
    this.submit();
  }

  private reap(): void {
    this.ring.reap((id, result) => {
      const { resolve, reject, entryFlags } = this.underWay.get(id)!; // the kernel knows no others
      this.underWay.delete(id);
      this.freeIds.push(id);
      if (entryFlags & IOSQE_ASYNC) this.copies--;
      if (this.underWay.size === 0) this.ring.keepAlive(false);
      if (result >= 0) resolve(result);
      else if (result === -EINTR || result === -EAGAIN) resolve(interrupted);
      else reject(errorOfNumber(-result));
    });
    if (this.heldBack.length > 0) this.start();
  }
}

function transferOf(fd: number, buffer: Uint8Array, offset: number): Omit<Entry, 'operation'> {
  return { fd, buffer, offset, entryFlags: buffer.length > bulkBytes ? IOSQE_ASYNC : 0, operationFlags: 0 };
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
