/** One disk of a backup: what of it has to be read, from wherever it is open, into a repository. */
import type { BlockBackend } from '../../block/backend.ts';
import { writeDisk } from '../../store/disk-writer.ts';
import { type BackedUpDisk, chunkBytesOf } from '../../store/machine.ts';
import { type DiskParent, parentFact, unchangedChunks } from '../../store/parent-disk.ts';
import type { RepositoryWriter } from '../../store/repository-writer.ts';
import { diskSource } from './disk-source.ts';

/** Where a disk goes on from, and what was written to it since (store/parent-disk.ts). */
interface Since {
  readonly parent: DiskParent;
  readonly written: Uint8Array;
}

/**
 * Without `since` all of it is read. `check` is called between chunks. Errors: of reading; of the
 * store; those of `check`.
 */
export async function backUpDisk(
  writer: RepositoryWriter,
  image: BlockBackend,
  { name, ...known }: Pick<BackedUpDisk, 'name' | 'format' | 'bitmap'>,
  since: Since | undefined,
  watch: { progress(bytes: number): void; check(): void },
): Promise<{ facts: BackedUpDisk; readBytes: number }> {
  const size = image.length;
  const chunkBytes = since?.parent.facts.chunkBytes ?? chunkBytesOf(size);
  const source = diskSource(image);
  let readBytes = 0;
  const read = (offset: number, buffer: Uint8Array): Promise<void> => {
    readBytes += buffer.length;
    return source.read(offset, buffer);
  };
  const content = await writeDisk(
    writer,
    { ...source, read },
    { ...watch, chunkBytes, ...(since && { unchanged: unchangedChunks(since.parent, since.written, size) }) },
  );
  return { facts: { name, size, chunkBytes, ...known, content, ...parentFact(since?.parent) }, readBytes };
}
