/**
 * Images that nobody writes to, as one snapshot.
 *
 * An image that has a bitmap of this repository's goes on from the snapshot of that bitmap's instant: only what was written since is read.
 * The bitmap is advanced when the snapshot is durable, and only then the image is written to: until then it is held, so that it is what
 * the snapshot has of it. What dies in between leaves the earlier bitmap, which goes on from the earlier snapshot.
 */
import { asBlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { commonOptions } from '../../block/options.ts';
import { Generation, generationsOf, newGeneration } from '../../jobs/store-backup/generation.ts';
import type { RepositoryLock } from '../../store/lock.ts';
import type { BackedUpDisk } from '../../store/machine.ts';
import { findParents } from '../../store/parent-disk.ts';
import type { Repository } from '../../store/repository.ts';
import { RepositoryWriter } from '../../store/repository-writer.ts';
import { type ImageSource, openImage } from '../shared/open-image.ts';
import type { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { backUpDisk } from './back-up-disk.ts';
import { withLock } from './options.ts';
import { putSnapshot } from './put-snapshot.ts';
import { readLine } from './read-line.ts';

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
      backUp(tool, { repository, lock }, machine, disks, progress),
    );
  } finally {
    await tool.close(disks.map(({ image }) => image));
  }
}

async function backUp(
  tool: Tool,
  held: HeldRepository,
  machine: string,
  disks: readonly OpenDisk[],
  progress: Progress,
): Promise<string> {
  const { repository, lock } = held;
  const advanced: (OpenDisk & { generation: Generation })[] = [];
  const done = await tool.attempt(async () => {
    const generations = new Map(
      disks.map(({ name, image }) => [name, generationsOf(image.node, repository.id)]),
    );
    const parents = await findParents(repository, machine, generations);
    const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
    const total = disks.reduce((sum, { image }) => sum + image.length, 0);
    let doneBytes = 0;
    const watch = {
      progress: (bytes: number): void => progress.set(((doneBytes += bytes) / total) * 100),
      check: (): void => lock.check(),
    };
    const backedUp: BackedUpDisk[] = [];
    const lines: string[] = [];
    for (const disk of disks) {
      const { platform } = disk.image.node.graph;
      const generation = new Generation(disk.image.node, repository.id, newGeneration(platform.random));
      const isAdvanced = generation.hasEarlier && !isToStay(disk);
      if (isAdvanced) advanced.push({ ...disk, generation });
      const parent = parents.get(disk.name);
      const written = parent && generation.writtenSince(parent);
      const since = parent && written && { parent, written };
      const known = { name: disk.name, format: disk.image.node.definition.name };
      const { facts, readBytes } = await backUpDisk(writer, disk.image, known, since, watch);
      backedUp.push({ ...facts, ...(isAdvanced && { bitmap: generation.planned }) });
      if (since) lines.push(readLine(facts, readBytes));
    }
    return lines.join('') + (await putSnapshot(repository, writer, machine, backedUp));
  });
  for (const disk of advanced) await advance(tool, disk);
  return done;
}

/** Whoever named the image has said that nothing is to be written to it. */
function isToStay({ image: { node } }: OpenDisk): boolean {
  return commonOptions(node.options, node.definition)['read-only'] === true;
}

interface HeldRepository {
  readonly repository: Repository;
  readonly lock: RepositoryLock;
}

/** What was written is in the snapshot: from now on the next one's bitmap has it. One that cannot be says no less than it did. */
async function advance(
  tool: Tool,
  { name, image, generation }: OpenDisk & { generation: Generation },
): Promise<void> {
  const { node } = image;
  try {
    await node.graph.setReadOnly(node, false);
    generation.start();
    await generation.dropEarlier();
    // Which stores them.
    await node.graph.setReadOnly(node, true);
  } catch (error) {
    tool.warn(
      `the bitmap of '${name}' was not advanced, so that more is read the next time: ${asBlockError(error).message}`,
    );
  }
}
