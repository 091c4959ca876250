/** How many of somebody's requests have begun and not ended. For each `begin` there is one `end`. */
import { Waiters } from './waiters.ts';

export class InFlight {
  private requests = 0;
  private readonly idleWaiters = new Waiters();

  begin(): void {
    this.requests++;
  }

  end(): void {
    if (--this.requests === 0) this.idleWaiters.wake();
  }

  get isIdle(): boolean {
    return this.requests === 0;
  }

  /** Settles when nothing is in flight. What begins in the same turn may be, by the time the caller goes on. */
  async whenIdle(): Promise<void> {
    while (this.requests > 0) await this.idleWaiters.wait();
  }
}
