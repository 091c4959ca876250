/**
 * Who may open a file: one worker for writing, or any number for reading (Web Locks; one name for each path).
 *
 * A file that another tab has open for writing could be opened by nobody anyway. The lock is there since it can be waited
 * for: a page that is loaded again would else find its own file still open by the worker that is just ending.
 */
import { BlockError } from '../../base/errors.ts';

export type LockMode = 'shared' | 'exclusive';

/** How long a worker that is ending may take, in milliseconds. */
const patienceMs = 1000;

export class PathLock {
  private release: (() => void) | undefined;
  private released: Promise<unknown> = Promise.resolve();
  mode: LockMode | undefined;

  constructor(private readonly path: string) {}

  /**
   * Gives up what is held first, and waits for others at most so long. Errors: EAGAIN `Failed to get "write" lock` (or `shared "write"`); nothing is held
   * then.
   */
  async acquire(mode: LockMode, patience = patienceMs): Promise<void> {
    await this.unlock();
    // A browser without locks still lets nobody else open a file that is open for writing.
    if (!navigator.locks) {
      this.mode = mode;
      return;
    }
    try {
      await new Promise<void>((granted, refused) => {
        const options =
          patience > 0 ? { mode, signal: AbortSignal.timeout(patience) } : { mode, ifAvailable: true };
        this.released = navigator.locks
          .request(`blockyard:${this.path}`, options, (lock) => {
            if (!lock) throw lockConflict(mode);
            granted();
            return new Promise<void>((release) => {
              this.release = release;
            });
          })
          .catch(refused);
      });
    } catch (error) {
      if (error instanceof DOMException && (error.name === 'TimeoutError' || error.name === 'AbortError'))
        throw lockConflict(mode);
      throw error;
    }
    this.mode = mode;
  }

  async unlock(): Promise<void> {
    this.release?.();
    this.release = undefined;
    this.mode = undefined;
    await this.released;
  }
}

export function lockConflict(mode: LockMode): BlockError {
  const kind = mode === 'shared' ? 'shared "write"' : '"write"';
  return new BlockError(
    'EAGAIN',
    `Failed to get ${kind} lock: it is open in another tab or worker of this browser`,
  );
}
