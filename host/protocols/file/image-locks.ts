/**
 * Image locking: keeps the permissions that other processes have on an image file apart from ours, in the way that
 * QEMU does (specification: graph, section 7).
 *
 * Two bytes of the file stand for each permission bit *i*, and both are only ever locked shared:
 *
 *   100 + i   somebody uses the permission
 *   200 + i   somebody does not share it
 *
 * A change first takes the bytes of what is to be (`prepare`), then looks whether anybody else holds the opposite
 * byte. Bytes of what was before are let go afterwards (`commit`), so that at no time less is locked than is in use.
 * The locks belong to the open file and end with it.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { ByteLocks } from '../../platform/platform.ts';

const usedBase = 100;
const unsharedBase = 200;
const bitNames = ['consistent read', 'write', 'write unchanged', 'resize'] as const;

export class ImageLocks {
  /** Masks whose bytes are locked for good. */
  private perm = 0;
  private unshared = 0;
  /** Masks being changed to. */
  private nextPerm = 0;
  private nextUnshared = 0;
  private readonly held = new Set<number>();

  constructor(
    private locks: ByteLocks,
    private readonly filename: string,
  ) {}

  /** Locks what is new and looks for conflicts. Errors: `Failed to get "write" lock`; then locks are as before. */
  prepare(perm: number, unshared: number): void {
    this.nextPerm = perm;
    this.nextUnshared = unshared;
    try {
      this.forEachBit((bit, i) => {
        if (perm & bit) this.lock(usedBase + i);
        if (unshared & bit) this.lock(unsharedBase + i);
      });
      this.forEachBit((bit, i) => {
        if (perm & bit && this.locks.isHeldByOther(unsharedBase + i)) {
          throw this.conflict(`Failed to get "${bitNames[i]}" lock`);
        }
      });
      this.forEachBit((bit, i) => {
        if (unshared & bit && this.locks.isHeldByOther(usedBase + i)) {
          throw this.conflict(`Failed to get shared "${bitNames[i]}" lock`);
        }
      });
    } catch (error) {
      this.abort();
      throw asBlockError(error);
    }
  }

  /** The same file was opened again as `next`: takes there what is held here, which goes when its file is closed. */
  moveTo(next: ByteLocks): void {
    for (const byte of this.held) next.lockShared(byte);
    this.locks = next;
  }

  /** Lets go of what the prepared change no longer needs. */
  commit(): void {
    this.perm = this.nextPerm;
    this.unshared = this.nextUnshared;
    this.abort();
  }

  /** Forgets the prepared change. */
  abort(): void {
    this.forEachBit((bit, i) => {
      if (!(this.perm & bit)) this.unlock(usedBase + i);
      if (!(this.unshared & bit)) this.unlock(unsharedBase + i);
    });
  }

  private forEachBit(visit: (bit: number, index: number) => void): void {
    for (let i = 0; i < bitNames.length; i++) visit(1 << i, i);
  }

  private lock(byte: number): void {
    if (this.held.has(byte)) return;
    try {
      this.locks.lockShared(byte);
    } catch (error) {
      const failure = asBlockError(error);
      throw new BlockError(failure.errno, `Failed to lock byte ${byte}: ${failure.message}`, {
        cause: failure,
      });
    }
    this.held.add(byte);
  }

  private unlock(byte: number): void {
    if (!this.held.delete(byte)) return;
    this.locks.unlock(byte);
  }

  private conflict(message: string): BlockError {
    return new BlockError('EAGAIN', message, {
      hint: `Is another process using the image [${this.filename}]?`,
    });
  }
}
