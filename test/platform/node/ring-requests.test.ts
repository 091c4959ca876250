/** The requests of an io_uring: against a kernel that does as the test says. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../host/base/errors.ts';
import { type Entry, Operation, ringEntries } from '../../../host/platform/node/io-uring.ts';
import { RingRequests } from '../../../host/platform/node/ring-requests.ts';
import { interrupted, repeat } from '../../../host/platform/node/slow-requests.ts';

const EINTR = 4;
const EAGAIN = 11;
const EIO = 5;
const ENOSPC = 28;
const EOPNOTSUPP = 95;

/** Takes entries when it is entered and completes them when it is told to. */
class Kernel {
  readonly queued: { entry: Entry; id: number }[] = [];
  readonly taken: { entry: Entry; id: number }[] = [];
  readonly completions: { id: number; result: number }[] = [];
  /** What `enter` gives instead of taking anything, one after the other. */
  failures: number[] = [];
  enters = 0;
  waits = 0;
  /** Whoever waits has what he waits for. */
  isQuick = false;
  isAwaited = false;

  push(entry: Entry, id: number): void {
    expect(this.queued.length).toBeLessThan(ringEntries);
    this.queued.push({ entry, id });
  }

  /** Unless disks are quick, whoever waits for them is told off. */
  enter(count: number, completions = 0): number {
    if (completions > 0) {
      this.waits++;
      if (!this.isQuick) return -EINTR;
    }
    if (count > 0) this.enters++;
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    this.taken.push(...this.queued.splice(0, count));
    for (const { entry, id } of this.taken.splice(0, completions))
      this.completions.push({ id, result: whole(entry) });
    return count;
  }

  reap(take: (id: number, result: number) => void): void {
    for (let next = this.completions.shift(); next; next = this.completions.shift())
      take(next.id, next.result);
  }

  keepAlive(isAwaited: boolean): void {
    this.isAwaited = isAwaited;
  }

  /** Completes all that it has taken. */
  complete(result: (entry: Entry) => number): void {
    for (const { entry, id } of this.taken.splice(0)) this.completions.push({ id, result: result(entry) });
  }
}

const whole = ({ buffer }: Entry): number => buffer?.length ?? 0;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function begin(): { kernel: Kernel; requests: RingRequests } {
  const kernel = new Kernel();
  return { kernel, requests: new RingRequests(kernel) };
}

describe('requests to an io_uring', () => {
  test('those of one turn are handed over together', async () => {
    const { kernel, requests } = begin();
    const reads = [0, 4096, 8192].map((offset) => requests.read(3, new Uint8Array(4096), offset));
    expect(kernel.enters).toBe(0);
    await turn();
    expect(kernel.enters).toBe(1);
    expect(kernel.isAwaited).toBe(true);
    kernel.complete(whole);
    requests.wake();
    expect(await Promise.all(reads)).toEqual([4096, 4096, 4096]);
    expect(kernel.isAwaited).toBe(false);
  });

  test('one is waited for as they are handed over, where disks are quick', async () => {
    const { kernel, requests } = begin();
    kernel.isQuick = true;
    const reads = [0, 4096, 8192].map((offset) => requests.read(3, new Uint8Array(4096), offset));
    expect(await reads[0]).toBe(4096);
    expect([kernel.enters, kernel.waits, kernel.taken.length]).toEqual([1, 1, 2]);
    kernel.complete(whole);
    requests.wake();
    expect(await Promise.all(reads)).toEqual([4096, 4096, 4096]);
  });

  test('nobody waits for small ones while something long is under way', async () => {
    const { kernel, requests } = begin();
    kernel.isQuick = true;
    const all = [requests.datasync(3), requests.read(3, new Uint8Array(4096), 0)];
    await turn();
    expect([kernel.enters, kernel.waits]).toEqual([1, 0]);
    kernel.complete(whole);
    requests.wake();
    await Promise.all(all);
    const read = requests.read(3, new Uint8Array(4096), 0);
    await turn();
    expect(kernel.waits).toBe(1);
    expect(await read).toBe(4096);
  });

  test('space is given back and reserved, where the file system can do that', async () => {
    const { kernel, requests } = begin();
    const asked: Entry[] = [];
    for (const [result, outcome] of [
      [0, true],
      [-EOPNOTSUPP, false],
    ] as const) {
      const done = requests.fallocate(3, 1, 4096, 2 ** 40);
      for (const each of [-EINTR, result]) {
        await turn();
        kernel.complete((entry) => {
          asked.push(entry);
          return each;
        });
        requests.wake();
      }
      expect(await done).toBe(outcome);
    }
    for (const { operation, offset, space } of asked)
      expect({ operation, offset, space }).toEqual({
        operation: Operation.fallocate,
        offset: 4096,
        space: { mode: 1, bytes: 2 ** 40 },
      });
  });

  test('more than the ring has room for wait, and all are done', async () => {
    const { kernel, requests } = begin();
    const count = 3 * ringEntries;
    const writes = Array.from({ length: count }, (_, i) => requests.write(3, new Uint8Array(1), i));
    await turn();
    expect(kernel.taken.length).toBe(ringEntries);
    const offsets = new Set<number>();
    for (let round = 0; round < 3; round++) {
      for (const { entry } of kernel.taken) offsets.add(entry.offset);
      kernel.complete(whole);
      requests.wake();
      await turn();
    }
    expect(await Promise.all(writes)).toEqual(Array.from({ length: count }, () => 1));
    expect(offsets.size).toBe(count);
  });

  test('entering is repeated when it is interrupted, and when the kernel has no memory', async () => {
    const { kernel, requests } = begin();
    kernel.failures = [EINTR, EAGAIN];
    const read = requests.read(3, new Uint8Array(8), 0);
    await turn();
    await turn();
    expect(kernel.enters).toBe(3);
    kernel.complete(whole);
    requests.wake();
    expect(await read).toBe(8);
    // It was alone, and could have been waited for.
    expect(kernel.waits).toBeGreaterThan(0);
  });

  test('an error is that of its request alone', async () => {
    const { kernel, requests } = begin();
    const [good, full, broken] = [0, 1, 2].map((offset) => requests.write(3, new Uint8Array(1), offset));
    const outcomes = Promise.allSettled([good, full, broken]);
    await turn();
    kernel.complete(({ offset }) => [1, -ENOSPC, -EIO][offset]!);
    requests.wake();
    expect(await outcomes).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: new BlockError('ENOSPC') },
      { status: 'rejected', reason: new BlockError('EIO') },
    ]);
  });

  test('a request that was interrupted is to be made again, and fdatasync is', async () => {
    const { kernel, requests } = begin();
    const read = requests.read(3, new Uint8Array(8), 0);
    const sync = requests.datasync(3);
    await turn();
    kernel.complete(() => -EINTR);
    requests.wake();
    expect(await read).toBe(interrupted);
    await turn();
    expect(kernel.taken.map(({ entry }) => entry.operation)).toEqual([Operation.fsync]);
    kernel.complete(() => 0);
    requests.wake();
    await sync;
  });

  test('short transfers are made whole, up to the end of the file', async () => {
    const { kernel, requests } = begin();
    const buffer = new Uint8Array(10);
    const read = repeat(buffer, 100, (rest, offset) => requests.read(3, rest, offset));
    const asked: [number, number][] = [];
    for (const result of [4, -EAGAIN, 3, 0]) {
      await turn();
      kernel.complete((entry) => {
        asked.push([entry.offset, whole(entry)]);
        return result;
      });
      requests.wake();
    }
    expect(await read).toBe(7);
    expect(asked).toEqual([
      [100, 10],
      [104, 6],
      [104, 6],
      [107, 3],
    ]);
  });
});
