/**
 * The transfers of one remote file: so many at a time, those that somebody waits for first.
 *
 * Everything else keeps the order in which it was asked for.
 */

/** Requests under way at once, for each node. Browsers make at most six to one server over HTTP/1.1. */
export const maxTransfers = 6;

export interface Transfer {
  /** Somebody waits for it. May become true while the transfer is queued. */
  isUrgent: boolean;
}

export class Transfers {
  private active = 0;
  private readonly queue: { transfer: Transfer; start: () => void }[] = [];

  /** Runs `body` when its turn has come. */
  async run<T>(transfer: Transfer, body: () => Promise<T>): Promise<T> {
    if (this.active < maxTransfers) this.active++;
    else await new Promise<void>((start) => void this.queue.push({ transfer, start }));
    try {
      return await body();
    } finally {
      this.next();
    }
  }

  /** Hands the place of a transfer that has ended to the next one. */
  private next(): void {
    const urgent = this.queue.findIndex(({ transfer }) => transfer.isUrgent);
    const [next] = this.queue.splice(Math.max(0, urgent), 1);
    if (next) next.start();
    else this.active--;
  }
}
