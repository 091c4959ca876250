/**
 * A file that this worker has open, once, whoever in it opened it how often: the browser gives one handle for writing.
 *
 * As long as nobody here writes, other workers may read too. The handle is exchanged when the first writer comes and when
 * the last one leaves; requests wait meanwhile.
 */
import { BlockError } from '../../base/errors.ts';
import { Mutex } from '../../base/mutex.ts';
import { ByteLockTable } from './byte-locks.ts';
import { fromDomException } from './errors.ts';
import type { OpfsFileHandle, SyncAccessHandle } from './opfs-types.ts';
import { type LockMode, lockConflict, PathLock } from './path-lock.ts';

export class SharedFile {
  readonly byteLocks = new ByteLockTable();
  /** Users, also those that are about to be or have just been; counted by whoever keeps this object. */
  references = 0;
  /** Where the file ends at the earliest, as far as is known: nobody else writes it while the handle is open. */
  knownBytes = 0;
  private readonly users = new Map<object, { write: boolean }>();
  private readonly lock: PathLock;
  private readonly opening = new Mutex();
  private handle: SyncAccessHandle | undefined;
  private file: OpfsFileHandle | undefined;

  constructor(readonly path: string) {
    this.lock = new PathLock(path);
  }

  /** Undefined while the handle is being exchanged, and when it was lost. */
  get handleNow(): SyncAccessHandle | undefined {
    return this.handle;
  }

  /** For requests, and at once unless the handle is being exchanged. Errors: EIO when it could not be got back. */
  access(): SyncAccessHandle | Promise<SyncAccessHandle> {
    return this.handle ?? this.opening.run(async () => this.handle ?? lost());
  }

  /** When it was last changed, in milliseconds. */
  async lastModified(): Promise<number> {
    return (await this.file!.getFile()).lastModified; // there as long as somebody has it open
  }

  /** `find` is asked for the file once it is locked. Errors: EAGAIN when it is in use elsewhere; of `find`. */
  join(user: object, write: boolean, find: () => Promise<OpfsFileHandle>): Promise<void> {
    return this.opening.run(async () => {
      const wanted: LockMode = write ? 'exclusive' : 'shared';
      const before = this.lock.mode;
      if (before === undefined || (before === 'shared' && write)) await this.lockAs(wanted, before);
      try {
        this.file = await find();
        if (!this.handle || this.lock.mode !== before) await this.exchange();
      } catch (error) {
        await this.settle();
        throw error;
      }
      this.users.set(user, { write });
    });
  }

  leave(user: object): Promise<void> {
    return this.opening.run(async () => {
      this.users.delete(user);
      this.byteLocks.releaseAll(user);
      await this.settle();
    });
  }

  private async lockAs(wanted: LockMode, before: LockMode | undefined): Promise<void> {
    try {
      await this.lock.acquire(wanted);
    } catch (error) {
      // The handle for reading has been open all the time, so that nobody can have come to write.
      if (before !== undefined) await this.lock.acquire(before);
      throw error;
    }
  }

  /** The lock and the handle become what the users need. */
  private async settle(): Promise<void> {
    if (this.users.size === 0) {
      this.closeHandle();
      await this.lock.unlock();
      return;
    }
    const writers = [...this.users.values()].some(({ write }) => write);
    const wanted: LockMode = writers ? 'exclusive' : 'shared';
    if (this.lock.mode === wanted && this.handle) return;
    await this.lock.acquire(wanted);
    await this.exchange();
  }

  private async exchange(): Promise<void> {
    this.closeHandle();
    const mode = this.lock.mode!; // it is locked whenever it is opened
    const file = this.file!; // found before
    if (!file.createSyncAccessHandle)
      throw new BlockError('ENOTSUP', 'Files can be opened in a dedicated worker only');
    try {
      this.handle = await file.createSyncAccessHandle({
        mode: mode === 'shared' ? 'read-only' : 'readwrite',
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NoModificationAllowedError')
        throw lockConflict(mode);
      throw fromDomException(error);
    }
  }

  private closeHandle(): void {
    this.handle?.close();
    this.handle = undefined;
    this.knownBytes = 0;
  }
}

function lost(): never {
  throw new BlockError('EIO', 'The file could not be opened again');
}
