/** Images that nobody writes to, as one snapshot. */
import type { BlockBackend } from '../../block/backend.ts';
import { writeDisk } from '../../store/disk-writer.ts';
import type { RepositoryLock } from '../../store/lock.ts';
import { type BackedUpDisk, chunkBytesOf } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import { RepositoryWriter } from '../../store/repository-writer.ts';
import { type ImageSource, openImage } from '../shared/open-image.ts';
import type { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { diskSource } from './disk-source.ts';
import { withLock } from './options.ts';
import { putSnapshot } from './put-snapshot.ts';

interface NamedImage {
  /** Of the disk. */
  readonly name: string;
  readonly image: ImageSource;
}

interface OpenDisk {
  readonly name: string;
  readonly image: BlockBackend;
}

/** Settles with what there is to say of it. */
export async function backUpImages(
  tool: Tool,
  repository: Repository,
  machine: string,
  images: readonly NamedImage[],
  progress: Progress,
): Promise<string> {
  const graph = await tool.createGraph();
  const disks: OpenDisk[] = [];
  try {
    // Nobody may write to it: what is read at the end belongs to what was read at the beginning.
    for (const { name, image } of images)
      disks.push({ name, image: await openImage(tool, graph, image, { exclusive: true }) });
    return await withLock(tool, repository, (lock) =>
      tool.attempt(() => backUp(repository, lock, machine, disks, progress)),
    );
  } finally {
    await tool.close(disks.map(({ image }) => image));
  }
}

async function backUp(
  repository: Repository,
  lock: RepositoryLock,
  machine: string,
  disks: readonly OpenDisk[],
  progress: Progress,
): Promise<string> {
  const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
  const total = disks.reduce((sum, { image }) => sum + image.length, 0);
  let done = 0;
  const backedUp: BackedUpDisk[] = [];
  for (const { name, image } of disks) {
    const chunkBytes = chunkBytesOf(image.length);
    const content = await writeDisk(writer, diskSource(image), {
      chunkBytes,
      check: () => lock.check(),
      progress: (bytes) => progress.set(((done += bytes) / total) * 100),
    });
    const format = image.node.definition.name;
    backedUp.push({ name, size: image.length, chunkBytes, format, content });
  }
  return putSnapshot(repository, writer, machine, backedUp);
}
