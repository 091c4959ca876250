/**
 * The record of everything that happened to a simulated disk, in order, from which any state that a crash could have
 * left is put together afterwards without running anything again (crash-states.ts).
 *
 * A change is *issued*, and *completes* or fails later. It is durable once a flush of its file that was issued after
 * the change completed has itself completed. Everything else that was issued is *volatile*: a crash keeps any part of
 * it. Names of files are durable at once.
 */
import type { Change, SimStorage } from './storage.ts';

export type JournalEntry =
  | { type: 'create'; path: string; inode: number }
  | { type: 'unlink'; path: string }
  | { type: 'issue'; id: number; inode: number; change: Change }
  | { type: 'complete'; id: number }
  | { type: 'fail'; id: number }
  | { type: 'flush-issue'; id: number; inode: number }
  | { type: 'flush-complete'; id: number };

export class Journal {
  readonly entries: JournalEntry[] = [];
  private nextId = 1;

  /** `base` is what was on the disk, all of it durable, before the first entry. */
  constructor(readonly base: SimStorage) {}

  /** The number of the change, for `complete` or `fail`. */
  issue(inode: number, change: Change): number {
    const id = this.nextId++;
    this.entries.push({ type: 'issue', id, inode, change });
    return id;
  }

  issueFlush(inode: number): number {
    const id = this.nextId++;
    this.entries.push({ type: 'flush-issue', id, inode });
    return id;
  }

  add(entry: JournalEntry): void {
    this.entries.push(entry);
  }
}

export interface VolatileChange {
  id: number;
  inode: number;
  change: Change;
}

/** Walks through a journal and knows at each entry what is durable and what is not. */
export class JournalReplay {
  readonly durable: SimStorage;
  private readonly completed = new Map<number, VolatileChange>();
  private readonly inFlight = new Map<number, VolatileChange>();
  /** The changes that each flush in flight will have made durable. */
  private readonly flushes = new Map<number, VolatileChange[]>();
  private position = 0;

  constructor(private readonly journal: Journal) {
    this.durable = journal.base.clone();
  }

  /** Goes on until the first `cut` entries have happened. */
  advanceTo(cut: number): void {
    while (this.position < cut) this.step(this.journal.entries[this.position++]!); // callers stay within the journal
  }

  /** In the order in which they reached the disk's cache; those in flight last. */
  volatileChanges(): VolatileChange[] {
    return [...this.completed.values(), ...this.inFlight.values()];
  }

  private step(entry: JournalEntry): void {
    switch (entry.type) {
      case 'create':
        this.durable.create(entry.path);
        break;
      case 'unlink':
        this.durable.unlink(entry.path);
        break;
      case 'issue':
        this.inFlight.set(entry.id, entry);
        break;
      case 'complete': {
        const change = this.inFlight.get(entry.id);
        if (change) this.completed.set(entry.id, change);
        this.inFlight.delete(entry.id);
        break;
      }
      case 'fail':
        this.inFlight.delete(entry.id);
        break;
      case 'flush-issue':
        this.flushes.set(
          entry.id,
          [...this.completed.values()].filter(({ inode }) => inode === entry.inode),
        );
        break;
      case 'flush-complete':
        this.flushCompleted(entry.id);
        break;
    }
  }

  private flushCompleted(id: number): void {
    for (const change of this.flushes.get(id) ?? []) {
      // Another flush may have been faster.
      if (!this.completed.delete(change.id)) continue;
      applyTo(this.durable, change.inode, change.change);
    }
    this.flushes.delete(id);
  }
}

/** Changes of files that have no name any more are lost with them. */
export function applyTo(storage: SimStorage, inode: number, change: Change): void {
  for (const content of storage.files()) {
    if (content.inode === inode) content.apply(change);
  }
}
