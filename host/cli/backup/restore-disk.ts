/**
 * A disk of a repository into an image, chunk by chunk, a few of them at once.
 *
 * Into an image that was there before only what differs is written: its chunks are read, and compared with the repository's by their
 * ids. When that ends half-way, the image is neither the one nor the other, and the next time writes the rest.
 */
import { BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { rangeReadsAsZeros, startsAsZeros } from '../../block/status.ts';
import { runPipeline } from '../../copy/pipeline.ts';
import type { Hashes } from '../../platform/platform.ts';
import type { DiskReader } from '../../store/disk-reader.ts';
import { equalIds } from '../../store/ids.ts';

const lanes = 4;
/** Asked for in advance, so that neighbours in a pack come in one request. */
const aheadBytes = 8 << 20;

interface Restoring {
  readonly hashes: Hashes;
  /** Nobody has written to the image before. */
  readonly isNew: boolean;
  /** Called when so many bytes more are done. */
  progress(bytes: number): void;
}

/** What is to be done with a chunk: nothing, or to write zeros or what it has. */
type Step = 'none' | 'zeros' | Uint8Array;

/** Settles with how many bytes were written, all of them durable. Errors: of the repository; of the image, which may be too short. */
export async function restoreInto(
  image: BlockBackend,
  reader: DiskReader,
  { hashes, isNew, progress }: Restoring,
): Promise<number> {
  const { layout } = reader;
  if (image.length < layout.bytes)
    throw new BlockError('ENOSPC', `it has ${image.length} bytes, and the disk has ${layout.bytes}`);
  const isZero = isNew && (await startsAsZeros(image.node.skipFilters()));
  let [next, ahead, written] = [0, 0, 0];
  const stepFor = async (chunk: number): Promise<Step> => {
    const { offset, bytes } = layout.range(chunk);
    if (bytes === 0 || (isZero && layout.isZero(chunk))) return 'none';
    if (!isNew && (await holds(image, reader, chunk, hashes))) return 'none';
    if (layout.isZero(chunk)) return 'zeros';
    if (isNew && chunk >= ahead) {
      ahead = layout.chunkAt(Math.min(offset + aheadBytes, layout.bytes) - 1) + 1;
      reader.prefetch(offset, aheadBytes);
    }
    return reader.readChunk(chunk);
  };
  const stages = {
    next: async () => (next < layout.chunks ? next++ : undefined),
    async read(chunk: number, lane: { step: Step }): Promise<void> {
      lane.step = await stepFor(chunk);
    },
    async write(chunk: number, { step }: { step: Step }): Promise<void> {
      const { offset, bytes } = layout.range(chunk);
      if (step === 'zeros') await image.writeZeroes(offset, bytes, { mayUnmap: true });
      else if (step !== 'none') await image.write(offset, step);
      if (step !== 'none') written += bytes;
      progress(bytes);
    },
  };
  await runPipeline(
    Array.from({ length: lanes }, () => ({ step: 'none' as Step })),
    stages,
    'none',
  );
  await image.flush();
  return written;
}

/** Whether the image has the chunk already. */
async function holds(
  image: BlockBackend,
  { layout }: DiskReader,
  chunk: number,
  hashes: Hashes,
): Promise<boolean> {
  const { offset, bytes } = layout.range(chunk);
  if (await rangeReadsAsZeros(image.node.skipFilters(), offset, bytes)) return layout.isZero(chunk);
  const content = new Uint8Array(bytes);
  await image.read(offset, content);
  return equalIds(await hashes.sha256(content), layout.id(chunk));
}
