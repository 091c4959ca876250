/**
 * Whether a repository is what it says it is: that every snapshot's trees and chunks are there, in packs that are there; that disks are
 * as long as their chunks, and cut where they are said to be, which restic does not check; that what was taken over from another snapshot
 * was so by a bitmap of that snapshot's; and, when data is read, that every byte is what its name says.
 *
 * It goes on after a finding, and changes nothing.
 */
import { asBlockError, BlockError } from '../base/errors.ts';
import { unsealBlob } from './blobs.ts';
import { DiskLayout } from './disk-layout.ts';
import { toHex } from './ids.ts';
import { maxPackBytes } from './limits.ts';
import { type DiskFacts, disksOf, type StoredDisk } from './machine.ts';
import { type PackedBlob, readTable } from './pack.ts';
import { baseName, type Repository } from './repository.ts';
import type { RepositoryIndex } from './repository-index.ts';

interface CheckFindings {
  readonly snapshots: number;
  readonly packs: number;
  /** What is wrong. */
  readonly errors: readonly string[];
  /** Packs that nothing names: left by a program that died, and harmless. `restic prune` removes them. */
  readonly orphans: number;
}

interface CheckSettings {
  /** Share of the packs whose bytes are read and verified, from 0 to 1; which ones is drawn. */
  readonly readData: number;
  readonly report?: (done: number, of: number) => void;
}

/** Errors: of the store, when not even the lists can be read. */
export async function checkRepository(
  repository: Repository,
  settings: CheckSettings,
): Promise<CheckFindings> {
  const errors: string[] = [];
  const noteErrors = async (act: () => Promise<void>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      errors.push(asBlockError(error).message);
    }
  };
  // Before the index: what they need is named by the time they are there.
  const snapshots = await repository.snapshots();
  const index = await repository.index();
  const files = await repository.store.list('data');
  const sizes = new Map(files.map(({ name, bytes }) => [name, bytes]));
  const named = indexedPacks(index);
  for (const [name, { end }] of named) {
    const bytes = sizes.get(name);
    if (bytes === undefined) errors.push(`${name} is named by the index, and is not there`);
    else if (bytes < end)
      errors.push(`${name} has ${bytes} bytes, and the index has blobs up to byte ${end}`);
  }
  const chains = new Chains();
  for (const snapshot of snapshots)
    await noteErrors(async () => {
      try {
        for (const disk of await disksOf(repository, snapshot)) {
          chains.add(snapshot.id, disk);
          await checkDisk(repository, disk);
        }
      } catch (error) {
        throw asBlockError(error).within(`snapshot ${snapshot.id}`);
      }
    });
  errors.push(...chains.errors());
  const present = [...named.keys()].filter((name) => sizes.has(name));
  const read = drawn(present, settings.readData, (limit) => repository.platform.random.below(limit));
  for (const [done, name] of read.entries()) {
    const { blobs } = named.get(name)!; // it is one of them
    await noteErrors(() => verifyPack(repository, name, sizes.get(name)!, blobs)); // it is there
    settings.report?.(done + 1, read.length);
  }
  return { snapshots: snapshots.length, packs: named.size, errors, orphans: files.length - present.length };
}

async function checkDisk(repository: Repository, { path, file, facts }: StoredDisk): Promise<void> {
  const layout = await DiskLayout.of(repository, file);
  if (!facts) return;
  const wrong = (what: string): BlockError => new BlockError('EIO', `${path} ${what}`);
  if (facts.size !== file.size) throw wrong(`has ${file.size} bytes, and was said to have ${facts.size}`);
  for (let chunk = 0; chunk < layout.chunks; chunk++)
    if (layout.range(chunk).offset !== chunk * facts.chunkBytes)
      throw wrong(
        `is not cut every ${facts.chunkBytes} bytes: chunk ${chunk} is at ${layout.range(chunk).offset}`,
      );
}

/** Which disks go on from which. A parent may have been removed: its chunks are there all the same. */
class Chains {
  private readonly disks = new Map<string, { snapshot: string; path: string; facts: DiskFacts }>();

  add(snapshot: string, { path, facts }: StoredDisk): void {
    if (facts) this.disks.set(`${snapshot}/${path}`, { snapshot, path, facts });
  }

  *errors(): Generator<string> {
    for (const { snapshot, path, facts } of this.disks.values()) {
      const { parent, chunkBytes } = facts;
      const from = parent && this.disks.get(`${parent.snapshot}/${path}`);
      if (!parent || !from) continue;
      const isRight =
        from.facts.bitmap?.generation === parent.generation && from.facts.chunkBytes === chunkBytes;
      if (!isRight)
        yield `snapshot ${snapshot}: ${path} was made by a bitmap that snapshot ${parent.snapshot} does not know`;
    }
  }
}

function drawn(names: string[], share: number, below: (limit: number) => number): string[] {
  const wanted = Math.ceil(names.length * share);
  const left = [...names];
  return Array.from({ length: wanted }, () => left.splice(below(left.length), 1)[0]!); // as many as there are, or fewer
}

/** What the index says of a pack. */
interface IndexedBlobs {
  /** How many it finds there. */
  blobs: number;
  /** Where the last one ends. */
  end: number;
}

function indexedPacks(index: RepositoryIndex): Map<string, IndexedBlobs> {
  const packs = new Map([...index.packNames()].map((name) => [name, { blobs: 0, end: 0 }]));
  for (const blobs of [index.data, index.trees])
    for (const { pack, offset, length } of blobs.places()) {
      const found = packs.get(index.packName(pack) ?? '');
      if (!found) continue;
      found.blobs++;
      found.end = Math.max(found.end, offset + length);
    }
  return packs;
}

/** Its name, its table, every blob that the table has, and that it has all of those `blobs` that the index finds there. One request. */
async function verifyPack(repository: Repository, name: string, bytes: number, blobs: number): Promise<void> {
  const { store, platform } = repository;
  const wrong = (what: string): BlockError => new BlockError('EIO', `${name} of ${store.location}${what}`);
  if (bytes > maxPackBytes) throw wrong(` has ${bytes} bytes`);
  const whole = await store.getRange(name, 0, bytes);
  if (toHex(await platform.hashes.sha256(whole)) !== baseName(name))
    throw wrong(' is not what its name says');
  const index = await repository.index();
  let left = blobs;
  for (const blob of await tableOf(repository, whole, name)) {
    await verifyBlob(repository, whole, blob, name);
    const place = index.find(blob.kind, blob.id);
    if (!place || index.packName(place.pack) !== name) continue;
    const { offset, length, plainLength } = place;
    if (offset === blob.offset && length === blob.length && plainLength === blob.plainLength) left--;
  }
  if (left !== 0) throw wrong(`: ${left} blobs are not where the index says`);
}

async function tableOf({ sealer, store }: Repository, pack: Uint8Array, name: string): Promise<PackedBlob[]> {
  try {
    return await readTable(sealer, sealer.keys, pack);
  } catch (error) {
    throw asBlockError(error).within(`${name} of ${store.location}`);
  }
}

async function verifyBlob(
  { sealer, store }: Repository,
  pack: Uint8Array,
  { id, offset, length, plainLength }: PackedBlob,
  name: string,
): Promise<void> {
  try {
    const sealed = pack.subarray(offset, offset + length);
    await unsealBlob(sealer, { id, sealed, plainLength });
  } catch (error) {
    throw asBlockError(error).within(`${name} of ${store.location}: blob ${toHex(id)}`);
  }
}
