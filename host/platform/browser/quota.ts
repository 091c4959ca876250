/**
 * What the browser lets this origin store, asked for before a file grows: a write that does not fit fails as a whole.
 *
 * Asking takes a message to another process, so an answer is used for a while: for growth up to a part of what was free.
 * Other tabs take from the same, and some browsers tell of more than there is: a write that fails for it is ENOSPC just the
 * same, and may be tried again when `makeRoom` has made some.
 */
import { BlockError } from '../../base/errors.ts';

/** What is taken at most from one answer. */
const mostCreditBytes = 16 << 20;

export class Quota {
  private creditBytes = 0;

  /** `makeRoom` gives up what can be done without; false: there is nothing. */
  constructor(readonly makeRoom: () => Promise<boolean> = async () => false) {}

  /** Settles at once when it can. Errors: ENOSPC when files may not grow by `bytes`. */
  admit(bytes: number): Promise<void> | undefined {
    if (bytes <= 0) return undefined;
    if (bytes > this.creditBytes) return this.ask(bytes);
    this.creditBytes -= bytes;
    return undefined;
  }

  /** Files shrank, or there was no space after all. */
  forget(): void {
    this.creditBytes = 0;
  }

  private async ask(bytes: number): Promise<void> {
    let free = await freeBytes();
    if (bytes > free && (await this.makeRoom())) free = await freeBytes();
    if (bytes > free) {
      this.creditBytes = 0;
      throw new BlockError('ENOSPC');
    }
    this.creditBytes = Math.min(mostCreditBytes, Math.floor((free - bytes) / 4));
  }
}

/** Infinite where the browser does not tell. */
async function freeBytes(): Promise<number> {
  const { quota, usage } = await navigator.storage.estimate();
  return quota === undefined || usage === undefined ? Number.POSITIVE_INFINITY : quota - usage;
}
