/** Which snapshot, and which disk of it, people mean. */
import { BlockError, invalid } from '../base/errors.ts';
import { disksIn, disksOf, type StoredDisk } from './machine.ts';
import { baseName, type Repository } from './repository.ts';
import type { NamedSnapshot } from './snapshot.ts';

/** In place of an id. */
export const latest = 'latest';
const idDigits = 64;
/** How many disks are named when the one that is wanted is not there. */
const maxNamed = 10;

/**
 * By the beginning of an id that only one has, or `latest`. `machine`: of those that have this name alone. Errors: ENOENT: there is none;
 * EINVAL: it is no id, or several begin so; EIO; of the store.
 */
export async function findSnapshot(
  repository: Repository,
  id: string,
  machine?: string,
): Promise<NamedSnapshot> {
  const isOfMachine = ({ hostname }: NamedSnapshot): boolean => machine === undefined || hostname === machine;
  const all = id === latest ? await repository.snapshots() : await byPrefix(repository, id);
  const matching = all.filter(isOfMachine);
  const found = matching.at(-1);
  if (!found)
    throw new BlockError(
      'ENOENT',
      `There is no snapshot '${id}'${machine === undefined ? '' : ` of ${machine}`}`,
    );
  if (id !== latest && matching.length > 1)
    throw invalid(`'${id}' is the beginning of ${matching.length} snapshots`);
  return found;
}

/** A disk, and the snapshot that it is of. */
interface FoundDisk {
  readonly snapshot: NamedSnapshot;
  readonly disk: StoredDisk;
}

/** `path`: as StoredDisk has it. `latest` is the newest snapshot that has it. Errors: as `findSnapshot`; ENOENT: it has no such disk. */
export async function findDisk(repository: Repository, id: string, path: string): Promise<FoundDisk> {
  if (id === latest) return findLatest(repository, path);
  const snapshot = await findSnapshot(repository, id);
  const disk = await diskAt(repository, snapshot, path);
  if (disk) return { snapshot, disk };
  const names = (await disksOf(repository, snapshot)).map((other) => other.path);
  const shown = `${names.slice(0, maxNamed).join(', ')}${names.length > maxNamed ? ', …' : ''}`;
  throw new BlockError(
    'ENOENT',
    `There is no disk '${path}' in snapshot ${snapshot.id.slice(0, 8)}, which has ${shown || 'none'}`,
  );
}

/** Those that say they are of this path are looked at before others. */
async function findLatest(repository: Repository, path: string): Promise<FoundDisk> {
  const newestFirst = (await repository.snapshots()).reverse();
  const isAbove = (folder: string): boolean =>
    `/${path}` === folder || `/${path}`.startsWith(`${folder.replace(/\/$/, '')}/`);
  const likely = newestFirst.filter(({ paths }) => paths.some(isAbove));
  const others = newestFirst.filter((snapshot) => !likely.includes(snapshot));
  for (const candidates of [likely, others])
    for (const snapshot of candidates) {
      const disk = await diskAt(repository, snapshot, path);
      if (disk) return { snapshot, disk };
    }
  throw new BlockError('ENOENT', `No snapshot of ${repository.store.location} has a disk '${path}'`);
}

/** Reads no folders but those on the way. */
async function diskAt(
  repository: Repository,
  snapshot: NamedSnapshot,
  path: string,
): Promise<StoredDisk | undefined> {
  const folders = path.split('/').slice(0, -1);
  let nodes = await repository.readTree(snapshot.tree);
  for (const folder of folders) {
    const next = nodes.find(({ type, name }) => type === 'dir' && name === folder);
    if (next?.type !== 'dir') return undefined;
    nodes = await repository.readTree(next.subtree);
  }
  const disks = await disksIn(repository, nodes, folders.map((folder) => `${folder}/`).join(''));
  return disks.find((disk) => disk.path === path);
}

async function byPrefix(repository: Repository, id: string): Promise<NamedSnapshot[]> {
  if (!/^[0-9a-f]+$/.test(id) || id.length > idDigits)
    throw invalid(`'${id}' is no snapshot: expecting the beginning of its id, or '${latest}'`);
  const names = (await repository.store.list('snapshots')).map(({ name }) => baseName(name));
  const matching = names.filter((name) => name.startsWith(id));
  return Promise.all(matching.map((name) => repository.readSnapshot(name)));
}
