/**
 * Where reads of a job's disks pass that go on beside the job's own loop: while it is shut none begins, and whoever has shut it can wait
 * for those that have.
 */
import type { BlockError } from '../../base/errors.ts';
import { Waiters } from '../../base/waiters.ts';

export class ReadingGate {
  private isShut = false;
  private failure: BlockError | undefined;
  private inFlight = 0;
  private readonly openWaiters = new Waiters();
  private readonly idleWaiters = new Waiters();

  shut(): void {
    this.isShut = true;
  }

  open(): void {
    this.isShut = false;
    this.openWaiters.wake();
  }

  /** From now on nothing passes, and who waits hears why. */
  close(reason: BlockError): void {
    this.failure ??= reason;
    this.openWaiters.wake();
  }

  /** Errors: it is closed. */
  async whenOpen(): Promise<void> {
    for (;;) {
      if (this.failure) throw this.failure;
      if (!this.isShut) return;
      await this.openWaiters.wait();
    }
  }

  /** Errors: it is closed; those of `read`. */
  async pass<T>(read: () => Promise<T>): Promise<T> {
    await this.whenOpen();
    this.inFlight++;
    try {
      return await read();
    } finally {
      if (--this.inFlight === 0) this.idleWaiters.wake();
    }
  }

  /** Settles when nothing is on its way. */
  async whenIdle(): Promise<void> {
    while (this.inFlight > 0) await this.idleWaiters.wait();
  }
}
