/**
 * A store whose failing writes are for somebody to decide about. What is written is named by its content, so to write it again is
 * right whether it had been written or not. Locks are their owners' affair.
 */
import { asBlockError, type BlockError } from '../../base/errors.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** Settles when it is to be tried again; rejects when it is not. */
type OnFailedPut = (error: BlockError) => Promise<void>;

export class RetryingStore implements ObjectStore {
  /** Undefined: what fails has failed. */
  onFailedPut: OnFailedPut | undefined;

  constructor(private readonly store: ObjectStore) {}

  get location(): string {
    return this.store.location;
  }

  prepare(folders: readonly string[]): Promise<void> {
    return this.store.prepare(folders);
  }

  get(name: string, limit: number): Promise<Uint8Array> {
    return this.store.get(name, limit);
  }

  getRange(name: string, offset: number, bytes: number): Promise<Uint8Array> {
    return this.store.getRange(name, offset, bytes);
  }

  async put(name: string, parts: readonly Uint8Array[], sha256: Uint8Array): Promise<void> {
    for (;;) {
      try {
        return await this.store.put(name, parts, sha256);
      } catch (error) {
        const failure = asBlockError(error).within(`${name} of ${this.location}`);
        if (!this.onFailedPut || name.startsWith('locks/')) throw failure;
        await this.onFailedPut(failure);
      }
    }
  }

  list(folder: string): ReturnType<ObjectStore['list']> {
    return this.store.list(folder);
  }

  remove(name: string): Promise<void> {
    return this.store.remove(name);
  }
}
