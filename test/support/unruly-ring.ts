/**
 * A kernel with an io_uring that does what a real one may do and seldom does: it takes part of what it is given or nothing,
 * moves less than it was asked for, is interrupted, and completes requests in any order, at once or some turns later. What
 * it does it does to real files. Everything is drawn from a seed but the turns.
 */
import * as fs from 'node:fs';
import { type BlockError, errnoNumbers } from '../../host/base/errors.ts';
import { type Entry, type IoUring, Operation, ringEntries } from '../../host/platform/node/io-uring.ts';
import { libc } from '../../host/platform/node/libc.ts';
import { RingRequests } from '../../host/platform/node/ring-requests.ts';
import { Seeded } from './seeded.ts';

const EINTR = 4;
const EAGAIN = 11;
const EBUSY = 16;

interface Queued {
  readonly entry: Entry;
  readonly id: number;
}

/** Which requests fail: those after the first `after`, so many `times`. */
export interface Fault {
  readonly errno: 'EIO' | 'ENOSPC';
  after: number;
  times: number;
}

export class UnrulyRing implements Pick<IoUring, 'push' | 'enter' | 'reap' | 'keepAlive'> {
  readonly requests = new RingRequests(this);
  fault: Fault | undefined;
  private readonly random: Seeded;
  private readonly queued: Queued[] = [];
  private readonly taken: Queued[] = [];
  private readonly completions: { id: number; result: number }[] = [];

  constructor(seed: number) {
    this.random = new Seeded(seed);
  }

  push(entry: Entry, id: number): void {
    if (this.queued.length + this.taken.length >= ringEntries)
      throw new Error('more requests than the ring has entries');
    this.queued.push({ entry, id });
  }

  enter(count: number, completions = 0): number {
    if (count === 0) return 0;
    if (this.random.oneIn(6)) return -this.random.pick([EINTR, EAGAIN, EBUSY]);
    const taken = this.queued.splice(0, 1 + this.random.below(count));
    for (const request of taken) {
      if (request.entry.operation === Operation.fallocate) void this.fallocate(request);
      else if (completions > 0 || this.random.oneIn(3)) this.complete(request);
      else this.completeLater(request);
    }
    return taken.length;
  }

  reap(take: (id: number, result: number) => void): void {
    for (let next = this.completions.shift(); next; next = this.completions.shift())
      take(next.id, next.result);
  }

  keepAlive(): void {}

  private completeLater(request: Queued): void {
    this.taken.push(request);
    setImmediate(() => {
      const [next] = this.taken.splice(this.random.below(this.taken.length), 1);
      this.complete(next!); // there is one for each of these turns
      this.requests.wake();
    });
  }

  private complete({ entry, id }: Queued): void {
    this.completions.push({ id, result: this.outcome(entry) });
  }

  private async fallocate({ entry, id }: Queued): Promise<void> {
    const { fd, offset, space } = entry;
    const { mode, bytes } = space!; // this operation has it
    let result = this.failing();
    if (result === 0) {
      try {
        const done = await libc()!.fallocate(fd, mode, offset, bytes); // nobody asks without
        result = done ? 0 : -errnoNumbers.ENOTSUP;
      } catch (error) {
        result = -errnoNumbers[(error as BlockError).errno];
      }
    }
    this.completions.push({ id, result });
    setImmediate(() => this.requests.wake());
  }

  private outcome(entry: Entry): number {
    const failing = this.failing();
    if (failing !== 0) return failing;
    if (entry.fd < 0) return -errnoNumbers.EBADF;
    try {
      return this.carryOut(entry);
    } catch (error) {
      return (error as { errno: number }).errno;
    }
  }

  /** An error number below zero, if it is to fail without doing anything. */
  private failing(): number {
    const { fault } = this;
    if (fault && fault.after-- <= 0 && fault.times-- > 0) return -errnoNumbers[fault.errno];
    return this.random.oneIn(6) ? -this.random.pick([EINTR, EAGAIN]) : 0;
  }

  private carryOut({ operation, fd, buffer, offset }: Entry): number {
    if (operation === Operation.fsync || !buffer) {
      fs.fdatasyncSync(fd);
      return 0;
    }
    const bytes = this.random.oneIn(3) ? 1 + this.random.below(buffer.length) : buffer.length;
    return operation === Operation.read
      ? fs.readSync(fd, buffer, 0, bytes, offset)
      : fs.writeSync(fd, buffer, 0, bytes, offset);
  }
}
