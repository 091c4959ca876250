/**
 * What a server has answered and may not have on its disk yet: changes since the last flush. One that has been killed and started
 * again may have forgotten any of them. Whoever waits for it tells them again, before anything else (specification: nbd, section 5).
 *
 * Of what was changed more than once, only the last is told. So nobody ever sees again what was there before, if the server has
 * forgotten nothing, be it that the client is gone before it has told everything.
 */
import type { BlockError } from '../../base/errors.ts';
import { ClientRequest } from '../../nbd/client/request.ts';
import { CommandFlag } from '../../nbd/constants.ts';
import { type Change, lastChanges } from './last-changes.ts';
import type { NbdSession, SessionOwner } from './session.ts';

/** When so much is kept, a flush has to end before anything else is written. */
const maxUnflushedBytes = 64 << 20;
/** What one change takes beside its data. */
const changeBytes = 128;

export class UnflushedChanges {
  private readonly changes: Change[] = [];
  /** Changes that were here and are durable. */
  private forgotten = 0;
  private bytes = 0;

  /** It has been answered, and its data stays as it is until this returns. */
  note(change: Change): void {
    // What is durable by itself only counts where it must not be overwritten by what came before.
    if ((change.flags & CommandFlag.fua) !== 0 && this.changes.length === 0) return;
    const { data } = change;
    this.changes.push({ ...change, data: data?.slice() });
    this.bytes += changeBytes + (data?.length ?? 0);
  }

  get isFull(): boolean {
    return this.bytes >= maxUnflushedBytes;
  }

  /** Stands for all changes so far. */
  mark(): number {
    return this.forgotten + this.changes.length;
  }

  /** A flush is done that began when `mark` was given. */
  forget(mark: number): void {
    for (const { data } of this.changes.splice(0, mark - this.forgotten)) {
      this.bytes -= changeBytes + (data?.length ?? 0);
      this.forgotten++;
    }
  }

  /** For the first connection to a server that may have forgotten something. */
  restoration(): Restoration {
    return new Restoration(lastChanges(this.changes));
  }
}

/** Tells changes to a server: the first owner of a session, until it is done. */
export class Restoration implements SessionOwner {
  private next = 0;
  private inFlight = 0;
  private session: NbdSession | undefined;
  private failure: BlockError | undefined;
  private resolve: () => void = () => {};
  private reject: (error: BlockError) => void = () => {};

  /** The changes do not overlap. */
  constructor(private readonly changes: readonly Change[]) {}

  /** Settles when all are answered. Errors: BlockError, why one is not. */
  run(session: NbdSession): Promise<void> {
    return new Promise((resolve, reject) => {
      this.session = session;
      [this.resolve, this.reject] = [resolve, reject];
      this.goOn();
    });
  }

  answered(): void {
    this.goOn();
  }

  lost(session: NbdSession, error: BlockError): void {
    session.takeUnfinished();
    this.failure = error;
    this.goOn();
  }

  private goOn(): void {
    const { session, failure, changes } = this;
    if (!session) return;
    if (failure) {
      this.reject(failure);
      return;
    }
    for (; this.next < changes.length && session.hasRoom; this.next++) {
      const { command, flags, offset, length, data } = changes[this.next]!; // there are so many
      this.inFlight++;
      const settle = ({ error }: ClientRequest): void => {
        this.inFlight--;
        this.failure ??= error;
      };
      session.send(new ClientRequest(command, flags, offset, length, data, settle));
    }
    if (this.next === changes.length && this.inFlight === 0) this.resolve();
  }
}
