/**
 * The state of one copy-before-write in the core: what is to be copied, what is being copied, what is frozen for a
 * reader. See assembly/cbw/state.ts for what it means for writes.
 *
 * Everything here answers at once. Whoever gets a token to wait for waits until its task has ended (`endCopy`,
 * `endRead`) and asks again: tokens are used anew after that.
 */
import { assert } from '../base/assert.ts';
import { type BitmapExports, bitmapMemoryBytes, granularityBitsOf, HierarchicalBitmap } from './bitmap.ts';
import { CoreInstance } from './instance.ts';
import { coreModule } from './module.ts';

interface CbwExports extends BitmapExports {
  cbw_init(size: number, clusterBits: number): number;
  cbw_bitmap(state: number): number;
  cbw_copying_bytes(state: number): number;
  cbw_next(state: number, offset: number, bytes: number, maxBytes: number): number;
  cbw_begin_copy(state: number, offset: number, bytes: number, maxBytes: number): number;
  cbw_end_copy(state: number, token: number, copied: boolean): number;
  cbw_check_write(state: number, offset: number, bytes: number): number;
  cbw_begin_read(state: number, offset: number, bytes: number): number;
  cbw_end_read(state: number, token: number): number;
  cbw_reader_in(state: number, offset: number, bytes: number): number;
}

/** Codes of assembly/abi.ts, assembly/cbw/copy.ts and assembly/cbw/read.ts. */
const ok = 0;
const some = 1;
const busy = -3;

/** The table of tasks and the headers: assembly/cbw/state.ts. */
const stateBytes = 6_400;

/** Wait for the task with this token. */
interface Wait {
  readonly kind: 'wait';
  readonly token: number;
}
/** Clusters to copy, and nobody has them. */
interface Run {
  readonly kind: 'run';
  readonly offset: number;
  /** Whole clusters, but for the last one of the disk. */
  readonly bytes: number;
}
/** Clusters that are the caller's to copy until `endCopy`. */
export interface Copy {
  readonly kind: 'copy';
  readonly token: number;
  readonly offset: number;
  readonly bytes: number;
}
/** Nothing in the range is left to copy, nor being copied. */
interface Done {
  readonly kind: 'done';
}
/** The first part of a range read back: from the source, where it is frozen until `endRead`, or from the copy. */
type ReadBack =
  | { readonly kind: 'source'; readonly token: number; readonly bytes: number }
  | { readonly kind: 'copied'; readonly bytes: number };

const done: Done = { kind: 'done' };

export class CopyBeforeWriteState {
  private readonly core: CoreInstance<CbwExports>;
  private readonly handle: number;
  /** What is to be copied and not in a task. Set it up at will; changes later on are understood. */
  readonly toCopy: HierarchicalBitmap;

  /** Nothing is to be copied yet. `clusterBytes` is a power of two. Errors: ENOMEM. */
  constructor(
    readonly size: number,
    readonly clusterBytes: number,
  ) {
    const clusterBits = granularityBitsOf(clusterBytes);
    const { least, most } = bitmapMemoryBytes(size, clusterBytes);
    this.core = new CoreInstance<CbwExports>(coreModule, least + stateBytes, most + stateBytes);
    const { exports } = this.core;
    this.handle = this.core.guard(() => exports.cbw_init(size, clusterBits)) >>> 0;
    const bitmap = this.core.guard(() => exports.cbw_bitmap(this.handle)) >>> 0;
    this.toCopy = HierarchicalBitmap.at(this.core, bitmap, size, clusterBytes);
  }

  /** Bytes to copy that are in nobody's hands, in whole clusters. */
  get toCopyBytes(): number {
    return this.toCopy.count;
  }

  /** Bytes being copied, in whole clusters. */
  get copyingBytes(): number {
    return this.core.guard(() => this.core.exports.cbw_copying_bytes(this.handle));
  }

  /** The first run to copy in the range, at most `maxBytes` of it but a cluster at least. Reserves nothing. */
  next(offset: number, bytes: number, maxBytes: number = this.size): Run | Wait | Done {
    const { core } = this;
    const code = core.guard(() => core.exports.cbw_next(this.handle, offset, bytes, maxBytes));
    if (code === some) return { kind: 'run', offset: core.record[1], bytes: core.record[2] };
    return this.waitOrDone(code);
  }

  /** As `next`, and the run becomes the caller's to copy. */
  beginCopy(offset: number, bytes: number, maxBytes: number = this.size): Copy | Wait | Done {
    const { core } = this;
    const code = core.guard(() => core.exports.cbw_begin_copy(this.handle, offset, bytes, maxBytes));
    if (code !== some) return this.waitOrDone(code);
    const { record } = core;
    return { kind: 'copy', token: record[0], offset: record[1], bytes: record[2] };
  }

  /** `copied`: the old data is safe. Otherwise the clusters are to be copied again. */
  endCopy(token: number, copied: boolean): void {
    const code = this.core.guard(() => this.core.exports.cbw_end_copy(this.handle, token, copied));
    assert(code === ok, `copy ${token} was ended, but is not running`);
  }

  /** Whether a write may pass, has to copy clusters first, or has to wait. Costs nothing worth avoiding. */
  checkWrite(offset: number, bytes: number): 'pass' | 'copy' | Wait {
    const { core } = this;
    core.check();
    try {
      const code = core.exports.cbw_check_write(this.handle, offset, bytes);
      if (code === ok) return 'pass';
      if (code === some) return 'copy';
      assert(code === busy, `copy-before-write answered ${code}`);
      return { kind: 'wait', token: core.record[0] };
    } catch (error) {
      throw core.poison(error);
    }
  }

  /** Where the first part of the range can be read as it was. */
  beginRead(offset: number, bytes: number): ReadBack | Wait {
    const { core } = this;
    const code = core.guard(() => core.exports.cbw_begin_read(this.handle, offset, bytes));
    const { record } = core;
    if (code === ok) return { kind: 'copied', bytes: record[1] };
    if (code === some) return { kind: 'source', token: record[0], bytes: record[1] };
    assert(code === busy, `copy-before-write answered ${code}`);
    return { kind: 'wait', token: record[0] };
  }

  endRead(token: number): void {
    const code = this.core.guard(() => this.core.exports.cbw_end_read(this.handle, token));
    assert(code === ok, `read ${token} was ended, but is not running`);
  }

  /** Whether somebody reads any of the range where a write would spoil it. */
  readerIn(offset: number, bytes: number): Wait | Done {
    return this.waitOrDone(
      this.core.guard(() => this.core.exports.cbw_reader_in(this.handle, offset, bytes)),
    );
  }

  private waitOrDone(code: number): Wait | Done {
    if (code === ok) return done;
    assert(code === busy, `copy-before-write answered ${code}`);
    return { kind: 'wait', token: this.core.record[0] };
  }
}
