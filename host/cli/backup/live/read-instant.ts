/** Reads a disk of an instant over NBD: what is in it, and which of its chunks were written since its parent. */
import type { BlockBackend } from '../../../block/backend.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { statusAbove } from '../../../block/status.ts';
import type { DiskParent } from '../../../store/parent-disk.ts';
import { attachUser } from '../../shared/open-image.ts';
import type { InstantDisk } from './instant.ts';

export async function openInstantDisk(
  graph: BlockGraph,
  { export: options }: InstantDisk,
): Promise<BlockBackend> {
  const node = await graph.open(options, { readOnly: true });
  return attachUser(node, {});
}

/** A byte for each chunk of the parent: 1 where something was written. `check`: before each question. */
export async function writtenChunks(
  graph: BlockGraph,
  instant: InstantDisk,
  { file, facts }: DiskParent,
  check: () => void,
): Promise<Uint8Array> {
  const { chunkBytes } = facts;
  const written = new Uint8Array(Math.ceil(file.size / chunkBytes));
  const node = await graph.open({ ...instant.export, 'x-dirty-bitmap': instant.changes }, { readOnly: true });
  try {
    const length = Math.min(node.length, file.size);
    for (let offset = 0; offset < length; ) {
      check();
      const { data: isClean, bytes } = await statusAbove(node, undefined, offset, length - offset);
      const end = offset + bytes;
      // What is written of a chunk does not matter: the next question is about the next one.
      const last = Math.ceil(end / chunkBytes);
      if (!isClean) written.fill(1, Math.floor(offset / chunkBytes), last);
      offset = isClean ? end : last * chunkBytes;
    }
    return written;
  } finally {
    await graph.unref(node);
  }
}
