/**
 * The dirty bitmap of a backup: what it adds to the copy, and what becomes of it (specification: bitmaps, section 4;
 * jobs, section 7).
 *
 * While the job runs the bitmap has a successor, which records what guests write. In the end the bitmap stands either
 * for what was written since the point in time (the copy was made: it starts anew), or for that and all it stood for
 * before (nothing was gained by the job).
 */
import { invalid } from '../../base/errors.ts';
import type { DirtyBitmap } from '../../bitmaps/dirty-bitmap.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockNode } from '../../block/node.ts';
import type { CopyMap } from '../../copy/copy-map.ts';
import type { BackupCommon } from './options.ts';

type BitmapMode = NonNullable<BackupCommon['bitmap-mode']>;

interface BitmapChoice {
  bitmap: DirtyBitmap;
  mode: BitmapMode;
}

/** What the arguments say about a bitmap; undefined for a backup without one. Throws QEMU's words. */
export function chooseBitmap(source: BlockNode, options: BackupCommon): BitmapChoice | undefined {
  const { sync, bitmap: name } = options;
  let { 'bitmap-mode': mode } = options;
  if (sync === 'incremental' || sync === 'bitmap') {
    if (name === undefined) throw invalid(`must provide a valid bitmap name for '${sync}' sync mode`);
    if (sync === 'incremental') {
      mode ??= 'on-success';
      if (mode !== 'on-success') {
        throw invalid("Bitmap sync mode must be 'on-success' when using sync mode 'incremental'");
      }
    }
  }
  if (name === undefined) {
    if (mode !== undefined) throw invalid('Cannot specify bitmap sync mode without a bitmap');
    return undefined;
  }
  const bitmap = bitmapsOf(source).find(name);
  if (!bitmap) throw invalid(`Bitmap '${name}' could not be found`);
  if (mode === undefined) throw invalid('Bitmap sync mode must be given when providing a bitmap');
  bitmap.check('read');
  if (sync === 'none') throw invalid("sync mode 'none' does not produce meaningful bitmap outputs");
  if (mode === 'never' && sync !== 'bitmap' && sync !== 'incremental') {
    throw invalid(`Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '${sync}'`);
  }
  return { bitmap, mode };
}

export class SyncBitmap {
  /** Takes the bitmap for the job. Errors: one that may not change, unless the mode is `never`. */
  constructor(
    private readonly source: BlockNode,
    private readonly choice: BitmapChoice,
  ) {
    const { bitmap, mode } = choice;
    if (mode !== 'never') bitmap.check('modify');
    bitmapsOf(source).createSuccessor(bitmap);
  }

  /** Copies what the bitmap has dirty, and nothing else. */
  restrict(map: CopyMap): void {
    map.replace(this.choice.bitmap.bits);
  }

  /** Gives the bitmap back as it was, before the job has begun. */
  release(): void {
    bitmapsOf(this.source).reclaim(this.choice.bitmap);
  }

  /** Gives the bitmap back. `left`: what the target lacks, when the job has failed or was cancelled. */
  finish(left: CopyMap | undefined): void {
    const { bitmap, mode } = this.choice;
    const bitmaps = bitmapsOf(this.source);
    const synchronised = mode !== 'never' && (left === undefined || mode === 'always');
    if (!synchronised) {
      bitmaps.reclaim(bitmap);
      return;
    }
    const fresh = bitmaps.abdicate(bitmap);
    left?.addTo(fresh.bits);
  }
}
