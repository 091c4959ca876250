/**
 * What takes time and needs no instant: the repository is opened, held by a lock, and looked through for snapshots to go on from. Guests
 * go on meanwhile.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { objectTableOf } from '../../block/object-table.ts';
import { secretText } from '../../block/secret-text.ts';
import { RepositoryLock } from '../../store/lock.ts';
import { isName } from '../../store/machine.ts';
import { openStore } from '../../store/open-store.ts';
import { type DiskParent, findParents } from '../../store/parent-disk.ts';
import { Repository, repositoryPlatform } from '../../store/repository.ts';
import { generationsOf } from './generation.ts';
import type { StoreBackupOptions } from './options.ts';
import { RetryingStore } from './retrying-store.ts';

export interface NamedSource {
  /** In the snapshot. */
  readonly name: string;
  /** By which the node was found. */
  readonly device: string;
  readonly node: BlockNode;
}

export interface OpenedRepository {
  readonly repository: Repository;
  readonly store: RetryingStore;
  readonly lock: RepositoryLock;
  readonly username: string;
  readonly sources: readonly NamedSource[];
  readonly parents: ReadonlyMap<string, DiskParent>;
}

/** The lock has to be released. Errors: BlockError, and nothing is held. */
export async function openForBackup(
  graph: BlockGraph,
  options: StoreBackupOptions,
): Promise<OpenedRepository> {
  const { repository: name, 'password-secret': secret, machine } = options;
  const { platform } = graph;
  const sources = sourcesOf(graph, options);
  const password = secretText(objectTableOf(graph), secret);
  if (!platform.identity) throw new BlockError('ENOTSUP', 'There is nobody here whose backup it would be');
  const store = new RetryingStore(await openStore(name, platform));
  const repository = await Repository.open(repositoryPlatform(platform), store, password);
  const identity = platform.identity();
  const lock = await RepositoryLock.take(repository, identity);
  try {
    const generations = new Map(
      sources.map(({ name: disk, node }) => [disk, generationsOf(node, repository.id)]),
    );
    const parents = await findParents(repository, machine, generations);
    await repository.index();
    return { repository, store, lock, username: identity.username, sources, parents };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function sourcesOf(graph: BlockGraph, { machine, disks }: StoreBackupOptions): NamedSource[] {
  if (!isName(machine)) throw invalid(`'${machine}' cannot be the name of a machine`);
  if (disks.length === 0) throw invalid('There are no disks to back up');
  const sources = disks.map(({ device, name = device }) => ({
    name,
    device,
    node: graph.lookup(device, device),
  }));
  for (const [i, { name, node }] of sources.entries()) {
    if (!isName(name)) throw invalid(`'${name}' cannot be the name of a disk`);
    const other = sources.slice(0, i).find((one) => one.name === name || one.node === node);
    if (other) throw invalid(`Disks '${other.name}' and '${name}' have the same name, or are the same`);
  }
  return sources;
}
