/**
 * Tells when every transfer that was under way at some moment has ended.
 *
 * A mapping that a reader or writer got stays good while it uses it: a cluster that is freed meanwhile gets no new
 * content before such a transfer is over. Transfers belong to one of two generations; a barrier starts the next one
 * and waits for the older to run empty.
 */
import { InFlight } from '../../../base/in-flight.ts';
import { settled } from '../../../base/settled.ts';

export class TransferGate {
  private current: 0 | 1 = 0;
  private readonly active: readonly [InFlight, InFlight] = [new InFlight(), new InFlight()];
  private barriers = settled;

  begin(): number {
    this.active[this.current].begin();
    return this.current;
  }

  end(transfer: number): void {
    this.active[transfer as 0 | 1].end();
  }

  /** Settles when every transfer that had begun before the call has ended. */
  barrier(): Promise<void> {
    this.barriers = this.barriers.then(async () => {
      const older = this.current;
      const newer = older === 0 ? 1 : 0;
      // Left over only if the barrier before was not waited for to its end, which the chain excludes.
      await this.active[newer].whenIdle();
      this.current = newer;
      await this.active[older].whenIdle();
    });
    return this.barriers;
  }
}
