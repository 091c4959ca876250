/**
 * Tells when every transfer that was under way at some moment has ended.
 *
 * A mapping that a reader or writer got stays good while it uses it: a cluster that is freed meanwhile gets no new
 * content before such a transfer is over. Transfers belong to one of two generations; a barrier starts the next one
 * and waits for the older to run empty.
 */
export class TransferGate {
  private current: 0 | 1 = 0;
  private readonly active: [number, number] = [0, 0];
  private wake: (() => void) | undefined;
  private barriers: Promise<void> = Promise.resolve();

  begin(): number {
    this.active[this.current]++;
    return this.current;
  }

  end(transfer: number): void {
    if (--this.active[transfer as 0 | 1] === 0) this.wake?.();
  }

  /** Settles when every transfer that had begun before the call has ended. */
  barrier(): Promise<void> {
    this.barriers = this.barriers.then(async () => {
      const older = this.current;
      const newer = older === 0 ? 1 : 0;
      // Left over only if the barrier before was not waited for to its end, which the chain excludes.
      await this.empty(newer);
      this.current = newer;
      await this.empty(older);
    });
    return this.barriers;
  }

  private async empty(generation: 0 | 1): Promise<void> {
    while (this.active[generation] > 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }
}
