/**
 * A dirty bitmap: which parts of a node were written to while it recorded (specification: bitmaps, section 1).
 *
 * What may be done with it follows from its state, by one table:
 *
 * | use                                | not while busy | not if readonly | not if inconsistent |
 * | ---------------------------------- | -------------- | --------------- | ------------------- |
 * | modify: clear, merge into          | ×              | ×               | ×                   |
 * | toggle: enable, disable            | ×              |                 | ×                   |
 * | read: merge from, back up, export  | ×              |                 | ×                   |
 * | remove                             | ×              | ×               |                     |
 *
 * The methods here do what they say in every state; whoever acts for a user calls `check` first.
 * A bitmap that an operation took over has a successor, which records in its place: node-bitmaps.ts.
 */
import { assert } from '../base/assert.ts';
import { invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { HierarchicalBitmap } from '../core/bitmap.ts';

const forbidden = {
  modify: { busy: true, readonly: true, inconsistent: true },
  toggle: { busy: true, readonly: false, inconsistent: true },
  read: { busy: true, readonly: false, inconsistent: true },
  remove: { busy: true, readonly: true, inconsistent: false },
} as const;

export type BitmapUse = keyof typeof forbidden;

/** An entry of `dirty-bitmaps` in BlockDeviceInfo, members in QEMU's order. */
export interface BlockDirtyInfo {
  /** Absent for those that jobs use for themselves. */
  name?: string;
  recording: boolean;
  persistent: boolean;
  busy: boolean;
  granularity: number;
  /** Dirty bytes in whole granules: may exceed the size of the node. */
  count: number;
  inconsistent?: true;
}

export interface DirtyBitmapOptions {
  /** Absent: internal to a job. */
  name?: string | undefined;
  /** Bytes: the length of its node. */
  size: number;
  /** Bytes per bit, a power of two of at least 512. */
  granularity: number;
  disabled?: boolean;
  inconsistent?: boolean;
  /** No other one that its node has, or had, has it. */
  serial?: number;
}

export class DirtyBitmap {
  private readonly serial: number;
  /** Counts changes of the bits by other means than writes. */
  private changes = 0;
  name: string | undefined;
  bits: HierarchicalBitmap;
  /** Writes are not recorded here. */
  disabled: boolean;
  /** An operation uses it. */
  busy = false;
  /** Its stored form cannot be written: the image is read-only. */
  readonly = false;
  /** It is stored in the image when that is closed. */
  persistent = false;
  /** It is about to be removed, and so is not stored. */
  skipStore = false;
  /** Its stored form was not kept up to date: nobody knows what it should hold, and it is about no bytes. */
  readonly inconsistent: boolean;
  /** Records while an operation has this one. */
  successor: DirtyBitmap | undefined;

  /** Clean. Errors: ENOMEM. */
  constructor(options: DirtyBitmapOptions) {
    const { name, size, granularity, disabled = false, inconsistent = false, serial = 0 } = options;
    this.name = name;
    this.serial = serial;
    this.inconsistent = inconsistent;
    this.bits = HierarchicalBitmap.create(size, granularity);
    this.disabled = disabled;
  }

  get size(): number {
    return this.bits.size;
  }

  get granularity(): number {
    return this.bits.granularity;
  }

  /** Dirty bytes in whole granules. */
  get count(): number {
    return this.bits.count;
  }

  /** Whether it would be stored if the node closed now. */
  get isStoredOnClose(): boolean {
    return this.persistent && !this.inconsistent && !this.skipStore && !this.readonly;
  }

  /** Whether what is written now will be known: here or in the successor. */
  get recording(): boolean {
    return !this.disabled || (this.successor !== undefined && !this.successor.disabled);
  }

  /** Throws QEMU's words when the bitmap cannot be used so at the moment. */
  check(use: BitmapUse): void {
    const not = forbidden[use];
    if (not.busy && this.busy) {
      throw invalid(`Bitmap '${this.name}' is currently in use by another operation and cannot be used`);
    }
    if (not.readonly && this.readonly) {
      throw invalid(`Bitmap '${this.name}' is readonly and cannot be modified`);
    }
    if (not.inconsistent && this.inconsistent) {
      throw invalid(
        `Bitmap '${this.name}' is inconsistent and cannot be used`,
        'Try block-dirty-bitmap-remove to delete this bitmap from disk',
      );
    }
  }

  /** Cleans everything. Returns the bits as they were: `restore` takes them back. Errors: ENOMEM. */
  clear(): HierarchicalBitmap {
    this.changes++;
    const before = this.bits;
    this.bits = HierarchicalBitmap.create(before.size, before.granularity);
    return before;
  }

  /** Undoes what was done since `before` was returned by `clear` or a copy of `bits`. */
  restore(before: HierarchicalBitmap): void {
    assert(before.granularity === this.granularity, 'other bits');
    this.changes++;
    if (before.size !== this.size) before.resize(this.size);
    this.bits = before;
  }

  /** What was recorded in it and, while an operation has it, in its place. */
  allBits(): HierarchicalBitmap {
    return this.successor ? this.copyAllBits() : this.bits;
  }

  /** The same, as it is now. */
  copyAllBits(): HierarchicalBitmap {
    const all = this.bits.copy();
    if (this.successor) all.merge(this.successor.bits);
    return all;
  }

  /** Adds what `sources`, about as many bytes, have dirty. */
  mergeFrom(sources: readonly DirtyBitmap[]): void {
    this.changes++;
    for (const source of sources) if (source !== this) this.bits.merge(source.bits);
  }

  /** Equal as long as nothing but writes has changed what would be stored of it. */
  get stamp(): string {
    return `${this.serial}.${this.changes}.${this.recording ? 1 : 0}`;
  }

  query(): BlockDirtyInfo {
    return {
      ...withoutUndefined({ name: this.name }),
      recording: this.recording,
      persistent: this.persistent,
      busy: this.busy,
      granularity: this.granularity,
      count: this.count,
      ...(this.inconsistent ? { inconsistent: true } : {}),
    };
  }
}

/**
 * Adds what all `sources` have dirty to `target`; all or nothing, also when looking up one of them throws. Granularities
 * may differ, sizes may not. Returns the bits of the target as they were. Throws QEMU's words; ENOMEM.
 */
export function mergeBitmaps(target: DirtyBitmap, sources: Iterable<DirtyBitmap>): HierarchicalBitmap {
  const usable: DirtyBitmap[] = [];
  for (const source of sources) {
    target.check('modify');
    source.check('read');
    if (source.size !== target.size) {
      const sizes = `destination size is ${target.size}, source size is ${source.size}`;
      throw invalid(`Bitmaps are of different sizes (${sizes}) and can't be merged`);
    }
    usable.push(source);
  }
  const before = target.bits.copy();
  target.mergeFrom(usable);
  return before;
}
