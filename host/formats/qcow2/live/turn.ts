/**
 * Whose turn it is to read tables, where the cache has not room for everybody.
 *
 * A step that has waited for a table is tried again, and by then others may have pushed out what it had found before. Steps
 * that do that to each other in turn would never end. So one that has waited for tables several times waits for its turn,
 * which it has alone; what goes on beside it are steps that have not yet waited so often, and these come to an end or queue
 * up behind.
 *
 * Whoever has the turn waits for nothing but the image's file: before it waits for another step, or for a write-back, it
 * gives the turn back. So nobody that it waits for can be waiting for it.
 */
import type { Mutex } from '../../../base/mutex.ts';

/** How many tables a step may wait for before it queues up. Most need one, an allocation some three. */
const patience = 4;

/** Of one step. */
export class Turn {
  private reads = 0;
  private release: (() => void) | undefined;

  constructor(private readonly turns: Mutex) {}

  /** The step has waited for a table. Settles when it may be tried again. */
  async afterRead(): Promise<void> {
    if (++this.reads < patience || this.release) return;
    this.release = await this.turns.acquire();
  }

  /** Harmless without one. */
  end(): void {
    this.release?.();
    this.release = undefined;
  }
}
