/**
 * The disk of a device of a machine in this thread, for an emulator.
 *
 * Requests on the same bytes keep their order. A read is answered at once when the image can do so (block/read-now.ts),
 * with what is being written laid over it. Requests go through the device's front (machine/block-front.ts): they wait
 * while the machine stands, and `rerror` and `werror` of the device decide what becomes of one that fails. An emulator
 * has nobody to report an error to: a read that is reported or ignored gives zeros, such a write is dropped, and what
 * tells of it is the event BLOCK_IO_ERROR.
 */
import { InFlight } from '../base/in-flight.ts';
import { RangeLocks } from '../block/range-locks.ts';
import type { BlockDevice } from '../machine/block-device.ts';
import type { BlockFront } from '../machine/block-front.ts';
import type { Timer } from '../platform/platform.ts';
import type { DiskReference, GuestDisk } from './guest-disk.ts';

/**
 * When a guest is told that its write is done.
 *
 * - `process`: data and the metadata that makes it reachable are in the file, in the safe order, and the device has not
 *   been waited for. Nothing is lost when this process dies or its tab is closed. With `flushMs` everything is also made
 *   durable at most so many milliseconds (≥ 0) after it was written, as long as the machine runs.
 * - `power`: it is durable.
 */
export type FlushPolicy =
  | { readonly safe: 'process'; readonly flushMs?: number | undefined }
  | { readonly safe: 'power' };

const nsPerMs = 1_000_000;
/** With more writes under way a reader waits, and lets them get on. */
const maxWritesToSearch = 256;

export class LocalGuestDisk implements GuestDisk {
  private readonly front: BlockFront;
  private readonly ranges = new RangeLocks();
  private readonly inFlight = new InFlight();
  /** Those that have not settled, oldest first. */
  private readonly writes = new Set<{ offset: number; data: Uint8Array }>();
  private flushTimer: Timer | undefined;
  private snapshot = '';
  private generation = 0;

  /** Of a device that is realized. The disk belongs to the device and needs no close. */
  constructor(
    private readonly device: BlockDevice,
    private readonly policy: FlushPolicy = { safe: 'process' },
  ) {
    this.front = device.front;
  }

  /** 0 while there is no medium. */
  get byteLength(): number {
    const { backend } = this.front;
    return backend.hasMedium ? backend.length : 0;
  }

  get isReadOnly(): boolean {
    const { backend } = this.front;
    return !backend.hasMedium || backend.node.readOnly;
  }

  /** While no guest can run it is the emulator itself that reads, to make itself ready, and is answered at once. */
  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> | undefined {
    const { front } = this;
    if (this.readNow(offset, into)) return undefined;
    const { runState, processor } = this.device.machine;
    const isEmulator = runState.name === 'prelaunch' || (!runState.isRunning && processor === undefined);
    const reading = this.ordered(offset, into.length, true, async () => {
      if (signal?.aborted) return;
      try {
        await (isEmulator ? front.readAtOnce(offset, into) : front.read(offset, into));
      } catch {
        into.fill(0);
      }
    });
    return signal ? orAborted(reading, signal) : reading;
  }

  /** False: part of `into` may have changed. */
  private readNow(offset: number, into: Uint8Array): boolean {
    const { writes } = this;
    if (!this.device.machine.runState.isRunning || writes.size > maxWritesToSearch) return false;
    const end = offset + into.length;
    const newer = [...writes].filter(
      (write) => write.offset < end && offset < write.offset + write.data.length,
    );
    const last = newer.at(-1);
    const isCovered = last && last.offset <= offset && end <= last.offset + last.data.length;
    if (!isCovered && !this.front.readNow(offset, into)) return false;
    // Whatever has become of these by now in the image, they are what the guest has written last.
    for (const write of isCovered ? [last] : newer) {
      const start = Math.max(offset, write.offset);
      into.set(write.data.subarray(start - write.offset, end - write.offset), start - offset);
    }
    return true;
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    this.generation++;
    const { front, policy, writes } = this;
    const kept = data.slice();
    const write = { offset, data: kept };
    writes.add(write);
    return this.ordered(offset, kept.length, false, async () => {
      try {
        if (policy.safe === 'power') await front.write(offset, kept, { fua: true });
        else await front.writeOut(offset, kept);
      } catch {
        // Reported by an event, as far as the guest can be told anything.
      }
      writes.delete(write);
      this.flushLater();
    });
  }

  async flush(): Promise<void> {
    await this.inFlight.whenIdle();
    const { backend } = this.front;
    if (!backend.hasMedium || this.isReadOnly) return;
    try {
      // A machine that stands does not hold up whoever wants to be sure.
      await (this.device.machine.runState.isRunning ? this.front.flush() : backend.flush());
    } catch {
      // As a write that is dropped.
    }
  }

  getReference(): DiskReference {
    return { snapshot: this.snapshot, generation: this.generation };
  }

  setReference({ snapshot, generation }: DiskReference): void {
    this.snapshot = snapshot;
    this.generation = generation;
  }

  /** Runs `act`, which never fails, after all earlier requests that it must not overtake. */
  private ordered(offset: number, bytes: number, shared: boolean, act: () => Promise<void>): Promise<void> {
    this.inFlight.begin();
    return this.ranges.acquire(offset, bytes, shared).then(async (release) => {
      await act();
      release();
      this.inFlight.end();
    });
  }

  private flushLater(): void {
    const { policy } = this;
    if (policy.safe !== 'process' || policy.flushMs === undefined || this.flushTimer) return;
    const { clock } = this.device.machine.graph.platform;
    this.flushTimer = clock.setTimer(policy.flushMs * nsPerMs, () => {
      this.flushTimer = undefined;
      // A machine that was stopped has been flushed, and one that is gone has been closed.
      if (this.device.realized && this.device.machine.runState.isRunning)
        void this.front.flush().catch(() => {});
    });
  }
}

/** Settles with `reading`, or as soon as `signal` is aborted. */
function orAborted(reading: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = (): void => {
      signal.removeEventListener('abort', settle);
      resolve();
    };
    signal.addEventListener('abort', settle);
    void reading.then(settle);
  });
}
