/**
 * Where the dirty bitmaps of a node outlive it: what a format offers whose images have a place for them.
 *
 * A stored bitmap is of use only to whoever knows that nothing was written since it was stored. So everything stored is
 * marked as in use before the first write, durably, and loses the mark only by being stored again. What carries the
 * mark when it is found was lost by whoever had the image before: it is inconsistent, and can only be removed.
 *
 * When and what to store is not decided here: see bitmaps/persistence.ts.
 */
import type { HierarchicalBitmap } from '../core/bitmap.ts';

export interface BitmapShape {
  readonly name: string;
  /** Bytes per bit. */
  readonly granularity: number;
}

export interface StoredBitmap extends BitmapShape {
  /** It was recording when it was stored. */
  readonly enabled: boolean;
  readonly inconsistent: boolean;
}

export interface BitmapToStore extends BitmapShape {
  readonly enabled: boolean;
  /** About as many bytes as the node has. Nobody changes them while they are stored. */
  readonly bits: HierarchicalBitmap;
}

/**
 * What an image stores to say that a journal of its bitmaps, kept beside it, is about its present state. Every program
 * that writes to the image and does not keep the journal removes it, without knowing what it is.
 */
export interface JournalTie {
  /** Of the journal, 8 bytes in hexadecimal; undefined: there is none to believe. */
  readonly identity: string | undefined;
  /** Durable when it returns. Errors: ENOSPC when the image has no room for it; of I/O. */
  change(identity: string | undefined): Promise<void>;
}

export interface BitmapStorage {
  readonly tie?: JournalTie;
  /** False: an image that cannot have any, and `checkRoom` says why. */
  readonly hasPlace: boolean;
  /** In the order in which they are stored. */
  list(): readonly StoredBitmap[];
  /** Reads a consistent one into `bits`, which are clean and about as many bytes as the node has. Errors: EINVAL, EIO. */
  load(name: string, bits: HierarchicalBitmap): Promise<void>;
  /** Marks everything stored as in use. Durable when it returns. */
  markInUse(): Promise<void>;
  /**
   * Throws QEMU's words when `added` could not be stored on top of `others`, all persistent bitmaps of the node; `size`
   * is that of the node in bytes.
   */
  checkRoom(added: BitmapShape, others: readonly BitmapShape[], size: number): void;
  /** Stores bitmaps, in the place of those of the same names, and takes the mark from them. All or none. */
  store(bitmaps: readonly BitmapToStore[]): Promise<void>;
  /** Removes one and gives back its space; does nothing when it is not stored. */
  remove(name: string): Promise<void>;
}
