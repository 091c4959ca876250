/**
 * Building all refcounts anew from the references that a check has counted (specification: qcow2, section 10.5).
 *
 * The new refcount blocks and the new table lie behind everything that is used, so nothing of the old structures is
 * overwritten, and one header write switches from the old to the new. The old structures are not counted any more in
 * the new refcounts: after the switch nothing leaks, and before it nothing has changed. Where parts of the image could
 * not be walked, no refcount becomes lower than it was.
 */
import { type Qcow2Header, refcountBlockEntries } from '../disk/header.ts';
import { updateHeader } from '../disk/header-update.ts';
import { planRefcounts, refcountTableOf, refcountTablePlace } from '../disk/refcount-plan.ts';
import type { CheckedImage } from './checked-image.ts';

/** How many clusters a rebuild may add to a file of so many. */
export function rebuildRoom(header: Qcow2Header, fileClusters: number): number {
  const blocks = Math.ceil(fileClusters / refcountBlockEntries(header)) + 1;
  // The new blocks need blocks in turn, as does the table; with two entries per byte of block this more than suffices.
  return 2 * blocks + Math.ceil((2 * blocks * 8) / header.clusterSize) + 8;
}

/**
 * Replaces the refcount structures, of which the blocks at `oldBlocks` are counted; the image's counts are the refcounts
 * afterwards. EFBIG when the table is too long.
 */
export async function rebuildRefcounts(image: CheckedImage, oldBlocks: readonly number[]): Promise<void> {
  const { core, file, header } = image;
  const { clusterSize } = header;
  const perBlock = refcountBlockEntries(header);
  if (image.incomplete) await raiseToOldRefcounts(image);
  dropOldStructures(image, oldBlocks);

  const start = Math.ceil(file.length / clusterSize) + 1;
  const plan = planRefcounts(usedBlocks(image, perBlock), start, header);
  const { blocks, end } = plan;
  core.markUsed(start, end - start);

  for (const [position, index] of blocks.entries()) {
    const first = index * perBlock;
    core.encode(first, Math.max(0, Math.min(perBlock, end - first)), perBlock);
    await file.write((start + position) * clusterSize, core.buffer.slice(0, clusterSize));
  }
  const refcountTable = refcountTablePlace(plan, clusterSize);
  await file.write(refcountTable.offset, refcountTableOf(plan, clusterSize));
  await file.flush();
  await updateHeader(file, { refcountTable });
  image.blocks = [];
  for (const [position, index] of blocks.entries()) {
    image.blocks[index] = { offset: (start + position) * clusterSize, unreadable: false };
  }
}

/** What could not be walked keeps the refcounts it had, as far as they can be read. */
async function raiseToOldRefcounts(image: CheckedImage): Promise<void> {
  await image.forEachBlock(async (block, first, entries) => {
    if (block === undefined || block.unreadable || !(await image.loadBlock(block))) return;
    image.core.raise(first, entries);
  });
}

function dropOldStructures({ core, header, file }: CheckedImage, oldBlocks: readonly number[]): void {
  const { clusterSize } = header;
  const table = header.refcountTableOffset;
  if (table + header.refcountTableClusters * clusterSize < file.length + clusterSize) {
    for (let cluster = 0; cluster < header.refcountTableClusters; cluster++) {
      core.dropReference(table / clusterSize + cluster);
    }
  }
  for (const offset of oldBlocks) core.dropReference(offset / clusterSize);
}

/** Indexes of the refcount blocks that have anything to say, ascending. */
function usedBlocks({ core }: CheckedImage, perBlock: number): number[] {
  const indexes: number[] = [];
  for (let cluster = core.nextCounted(0); cluster >= 0; ) {
    const index = Math.floor(cluster / perBlock);
    indexes.push(index);
    cluster = core.nextCounted((index + 1) * perBlock);
  }
  return indexes;
}
