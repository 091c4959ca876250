/**
 * Those who wait for a change.
 *
 * They are woken in the order they came, and all at once; by the time one goes on, another may have changed things again.
 * So whoever waits for a condition looks again: `while (!condition) await waiters.wait();`.
 */
export class Waiters {
  private resolvers: (() => void)[] = [];

  get isEmpty(): boolean {
    return this.resolvers.length === 0;
  }

  /** Settles at the next `wake`. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.resolvers.push(resolve));
  }

  /** Those who begin to wait from now on are for the next time. */
  wake(): void {
    if (this.resolvers.length === 0) return;
    const { resolvers } = this;
    this.resolvers = [];
    for (const resolve of resolvers) resolve();
  }
}
