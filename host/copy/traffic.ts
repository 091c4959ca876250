/**
 * What a copying loop has in flight, and how it waits: for a request to end, for time to pass, for somebody to wake it.
 * Every loop that copies in the background (backup, mirror) has one.
 *
 * A loop may be woken for nothing: it looks at everything again.
 */
import { Waiters } from '../base/waiters.ts';
import type { Clock } from '../platform/platform.ts';

export class Traffic {
  /** Requests in flight. */
  requests = 0;
  /** Bytes of data that they hold in memory. */
  bytes = 0;
  private readonly waiters = new Waiters();

  constructor(private readonly clock: Clock) {}

  begin(bytes: number): void {
    this.requests++;
    this.bytes += bytes;
  }

  end(bytes: number): void {
    this.requests--;
    this.bytes -= bytes;
    this.wake();
  }

  wake(): void {
    this.waiters.wake();
  }

  whenChanged(): Promise<void> {
    return this.waiters.wait();
  }

  async whenIdle(): Promise<void> {
    while (this.requests > 0) await this.whenChanged();
  }

  /** Until the time is over or something else wakes the loop. */
  async sleep(delayNs: number): Promise<void> {
    const timer = this.clock.setTimer(delayNs, () => this.wake());
    await this.whenChanged();
    timer.cancel();
  }
}
