/** The file in which an image is made, before anything is written to it. */
import type { BlockBackend } from '../block/backend.ts';

/** What was there before would show where an image of `imageBytes` writes nothing: it reads as zeros afterwards. */
export async function clearFile(file: BlockBackend, imageBytes: number): Promise<void> {
  if (file.length > 0) await file.truncate(0);
  // A device is as long as before.
  const stale = Math.min(file.length, imageBytes);
  if (stale > 0) await file.writeZeroes(0, stale, { mayUnmap: true });
}
