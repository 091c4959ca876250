/**
 * Dirty bitmaps of an image that has no place for them: all of them are in the file beside it (side-file.ts). Raw images.
 *
 * After a clean close the file says how long the image was and when it was last changed; if either is not so any more,
 * somebody wrote to the image without us, and the bitmaps are inconsistent. What cannot be detected:
 *   - after an unclean exit, whether another program wrote to the image before it was opened here again;
 *   - a window (`offset`, `size`) that the node got by being reopened, until it is closed in good order;
 *   - a change that leaves length and time stamp as they were, or a host without time stamps.
 * A copy of the image that does not keep its time stamp is another image: it has inconsistent bitmaps.
 */
import { invalid } from '../base/errors.ts';
import type { BitmapShape, BitmapStorage, BitmapToStore, StoredBitmap } from '../block/bitmap-storage.ts';
import type { HierarchicalBitmap } from '../core/bitmap.ts';
import type { Files } from '../platform/platform.ts';
import { type Checkpoint, readSideFile, SideFile } from './side-file.ts';
import type { SavedBitmap } from './side-file-format.ts';

const maxBitmaps = 65_535;
/** Of one bitmap. */
const maxBitmapBytes = 512 * 1024 * 1024;

/** An image, and the file beside it. */
export interface SidePaths {
  readonly image: string;
  /** Of the image: the same whatever name leads to it. */
  readonly identity: string;
  readonly sideFile: string;
}

export class SideFileStorage implements BitmapStorage {
  readonly hasPlace = true;

  private constructor(
    private readonly files: Files,
    private readonly paths: SidePaths,
    private readonly length: () => number,
    private bitmaps: readonly SavedBitmap[],
    private readonly found: Checkpoint | undefined,
  ) {}

  /** `length`: of the image, in bytes. Errors: of I/O. */
  static async open(files: Files, paths: SidePaths, length: () => number): Promise<SideFileStorage> {
    const found = await readSideFile(files, paths.sideFile);
    const isTrue =
      found?.state === 'in-use' ||
      (found?.diskBytes === length() && found.imageTime === (await timeOf(files, paths.image)));
    const bitmaps = (found?.bitmaps ?? []).map((bitmap) =>
      isTrue ? bitmap : { ...bitmap, inconsistent: true },
    );
    return new SideFileStorage(files, paths, length, bitmaps, found);
  }

  list(): readonly StoredBitmap[] {
    return this.bitmaps.map(({ name, granularity, enabled, inconsistent }) => ({
      ...{ name, granularity, enabled, inconsistent },
    }));
  }

  async load(name: string, bits: HierarchicalBitmap): Promise<void> {
    const saved = this.bitmaps.find((bitmap) => bitmap.name === name);
    if (!saved) throw invalid(`Bitmap '${name}' is not stored`);
    fillFrom(bits, saved, this.found!); // where `saved` comes from
  }

  /** What was stored stays until a journal takes its place, before the first write. */
  async markInUse(): Promise<void> {}

  checkRoom(added: BitmapShape, others: readonly BitmapShape[], size: number): void {
    if (others.length >= maxBitmaps) throw invalid('Maximum number of persistent bitmaps is already reached');
    if (size / added.granularity / 8 > maxBitmapBytes) {
      throw invalid('Too much space will be occupied by the bitmap. Use larger granularity');
    }
  }

  async store(bitmaps: readonly BitmapToStore[]): Promise<void> {
    const stored = new Set(bitmaps.map(({ name }) => name));
    const saved = [
      ...this.bitmaps.filter(({ name }) => !stored.has(name)),
      ...bitmaps.map((bitmap) => ({
        ...{ name: bitmap.name, granularity: bitmap.granularity, enabled: bitmap.enabled },
        ...{ inconsistent: false, bits: bitmap.bits.copy() },
      })),
    ];
    const file = await SideFile.open(this.files, this.paths.sideFile);
    try {
      const diskBytes = this.length();
      await file.checkpoint({
        ...{ state: 'clean', identity: '', former: '', diskBytes, regionBytes: Math.max(diskBytes, 1) },
        ...{ imageTime: await timeOf(this.files, this.paths.image), bitmaps: saved, regions: [] },
      });
    } finally {
      await file.close();
    }
    this.bitmaps = saved;
  }

  /** From the file with its next checkpoint. */
  async remove(name: string): Promise<void> {
    this.bitmaps = this.bitmaps.filter((bitmap) => bitmap.name !== name);
  }
}

/** Makes `bits`, which are clean, what `saved` must be taken to be. */
export function fillFrom(
  bits: HierarchicalBitmap,
  saved: SavedBitmap,
  { regions, regionBytes }: Checkpoint,
): void {
  if (saved.bits.size === bits.size) {
    bits.merge(saved.bits);
  } else {
    const then = saved.bits.copy();
    then.resize(bits.size);
    bits.merge(then);
  }
  if (!saved.enabled) return;
  for (const region of regions) {
    const offset = region * regionBytes;
    if (offset < bits.size) bits.set(offset, Math.min(regionBytes, bits.size - offset));
  }
}

async function timeOf(files: Files, image: string): Promise<string> {
  return (await files.stat(image)).modified ?? '';
}
