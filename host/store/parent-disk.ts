/**
 * Incremental backups: what an earlier snapshot has of a disk is taken over where nothing was written since (specification: store,
 * section 7).
 *
 * Only a bitmap knows what was written, and only since the instant at which it was started. The snapshot of that instant has its
 * generation, so a disk's parent is the snapshot with the generation of a bitmap that the disk has: never merely the latest.
 *
 * Besides, nothing is taken over from where the disk ended then: a bitmap forgets what is cut off, and of the last chunk it may be
 * that it was cut within a bit.
 */
import { idBytes } from './ids.ts';
import { type DiskFacts, disksOf, type ParentDisk } from './machine.ts';
import type { Repository } from './repository.ts';
import type { FileNode } from './snapshot.ts';

/** How many snapshots are looked at, the latest first. Each may have megabytes of ids. */
const maxTried = 16;

/** A disk in the snapshot that a backup is to go on from. */
export interface DiskParent {
  /** Its id. */
  readonly snapshot: string;
  /** Of the bitmap. */
  readonly generation: string;
  /** Its name. */
  readonly bitmap: string;
  readonly file: FileNode;
  readonly facts: DiskFacts;
}

/**
 * The latest parent of each disk, by the disks' names. `generations`: of the bitmaps that each has. A disk that is not in the result
 * has none. Errors: EIO; of the store.
 */
export async function findParents(
  repository: Repository,
  machine: string,
  generations: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<Map<string, DiskParent>> {
  const found = new Map<string, DiskParent>();
  const isWanted = (disk: string): boolean => (generations.get(disk)?.size ?? 0) > 0 && !found.has(disk);
  const isOver = (): boolean => ![...generations.keys()].some(isWanted);
  if (isOver()) return found;
  const snapshots = await repository.snapshots();
  const own = snapshots.filter(({ hostname }) => hostname === machine).reverse();
  for (const snapshot of own.slice(0, maxTried)) {
    for (const { name, file, facts } of await disksOf(repository, snapshot)) {
      const bitmap = facts?.bitmap;
      if (!facts || !bitmap || !isWanted(name) || !generations.get(name)?.has(bitmap.generation)) continue;
      if (!isWhole(file, facts)) continue;
      const { generation, name: bitmapName } = bitmap;
      found.set(name, { snapshot: snapshot.id, generation, bitmap: bitmapName, file, facts });
    }
    if (isOver()) break;
  }
  return found;
}

function isWhole({ size, content }: FileNode, facts: DiskFacts): boolean {
  return facts.size === size && content.length === Math.ceil(size / facts.chunkBytes) * idBytes;
}

/**
 * For `writeDisk`: the parent's chunks where nothing was written. `written` has a byte for each of the parent's chunks, not 0 where
 * something was; `diskBytes`: of the disk as it is now.
 */
export function unchangedChunks(
  { file, facts }: DiskParent,
  written: Uint8Array,
  diskBytes: number,
): (chunk: number) => Uint8Array | undefined {
  const { chunkBytes } = facts;
  return (chunk) => {
    const end = (chunk + 1) * chunkBytes;
    if (end >= file.size || end > diskBytes || written[chunk] !== 0) return undefined;
    return file.content.subarray(chunk * idBytes, (chunk + 1) * idBytes);
  };
}

/** What `blockyard.json` says of what a disk goes on from. Undefined: all of it was read. */
export function parentFact(parent: DiskParent | undefined): { parent?: ParentDisk } {
  return parent ? { parent: { snapshot: parent.snapshot, generation: parent.generation } } : {};
}
