/**
 * A machine in a repository (specification: store, section 7): a folder with the machine's name, in it a file for each disk, as the
 * guest sees it, and `blockyard.json`, which says what restic's own format has no place for.
 *
 * A snapshot that restic made has no such file, and its disks are what files there are.
 */
import { concatenated } from '../base/concatenated.ts';
import { BlockError } from '../base/errors.ts';
import { toHex } from './ids.ts';
import { asRecord, countIn, type JsonRecord, parseRecord, stringIn } from './json.ts';
import type { Owner } from './key-file.ts';
import { maxDataBytes, maxDocumentBytes, maxFolders, maxTreeDepth } from './limits.ts';
import type { Repository } from './repository.ts';
import type { RepositoryWriter } from './repository-writer.ts';
import { encodeTree, type FileNode, type NamedSnapshot, type TreeNode } from './snapshot.ts';
import { rfc3339 } from './time.ts';

const documentName = 'blockyard.json';
const documentVersion = 1;
const diskSuffix = '.raw';
/** By which our snapshots are found among others. */
const tag = 'blockyard';

/** Chunks of a disk, but for the last: small disks are cut finer, so that little that changed is little that is stored. */
const chunkBytes = 1 << 20;
const largeChunkBytes = 4 << 20;
const largeDiskBytes = 256 * 2 ** 30;

export function chunkBytesOf(diskBytes: number): number {
  return diskBytes > largeDiskBytes ? largeChunkBytes : chunkBytes;
}

/** The bitmap that was started at the instant of a snapshot, and has what was written since. */
interface StartedBitmap {
  readonly name: string;
  /** Made at random when it was started: nothing else has it. */
  readonly generation: string;
}

/** What a disk's chunks were taken from where nothing had been written. */
export interface ParentDisk {
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** Of the bitmap that said what had been written since that. */
  readonly generation: string;
}

/** What is kept of a disk beside its content. */
export interface DiskFacts {
  /** Bytes, as the guest sees it. */
  readonly size: number;
  readonly chunkBytes: number;
  /** Of the image that it was. */
  readonly format: string;
  /** Absent: whatever comes next reads the whole disk. */
  readonly bitmap?: StartedBitmap | undefined;
  /** Absent: the whole disk was read. */
  readonly parent?: ParentDisk | undefined;
}

export interface BackedUpDisk extends DiskFacts {
  readonly name: string;
  /** Ids of its chunks. */
  readonly content: Uint8Array;
}

/** Who makes a snapshot, and with what. */
interface Author extends Pick<Owner, 'username'> {
  readonly program: string;
  /** RFC 3339: the instant that the disks are of. Now, if it is not given. */
  readonly time?: string;
}

/** Letters, digits, dots, hyphens and underscores, and not a dot first: nothing that any program would have to quote. */
export function isName(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(name);
}

/** Everything that the disks are made of has been added. Settles with the snapshot's id when all is durable. */
export async function putMachine(
  repository: Repository,
  writer: RepositoryWriter,
  machine: string,
  disks: readonly BackedUpDisk[],
  { username, program, time = rfc3339(repository.platform.clock) }: Author,
): Promise<string> {
  const facts = Object.fromEntries(
    disks.map(({ name, content: _, ...rest }) => [name, rest satisfies DiskFacts]),
  );
  const document = new TextEncoder().encode(
    `${JSON.stringify({ version: documentVersion, disks: facts })}\n`,
  );
  const files = [
    ...disks.map(({ name, size, content }) => ({ name: `${name}${diskSuffix}`, size, content })),
    { name: documentName, size: document.length, content: await writer.add('data', document) },
  ].map((file): FileNode => ({ ...file, type: 'file', modified: time }));
  const folder = await writer.add('tree', encodeTree(files, { username }));
  const root: TreeNode = { type: 'dir', name: machine, modified: time, subtree: toHex(folder) };
  const tree = toHex(await writer.add('tree', encodeTree([root], { username })));
  await writer.finish();
  const paths = [`/${machine}`];
  const parent = disks.find((disk) => disk.parent)?.parent?.snapshot;
  const snapshot = {
    ...{ time, tree, paths, hostname: machine, username, tags: [tag] },
    ...(parent === undefined ? {} : { parent }),
  };
  const id = await repository.putSnapshot(snapshot, program);
  writer.check();
  return id;
}

/** A disk as a snapshot has it. */
export interface StoredDisk {
  /** `MACHINE/DISK`; of a snapshot that restic made, the path of the file. */
  readonly path: string;
  /** The last part of it. */
  readonly name: string;
  readonly file: FileNode;
  /** Undefined: nobody has said anything about it. */
  readonly facts: DiskFacts | undefined;
}

/** All disks of a snapshot. Errors: EIO; of the store. */
export async function disksOf(repository: Repository, snapshot: NamedSnapshot): Promise<StoredDisk[]> {
  const walker = { repository, found: [], folders: 0 };
  await walk(walker, snapshot.tree, '', 0);
  return walker.found;
}

interface Walker {
  readonly repository: Repository;
  readonly found: StoredDisk[];
  /** That have been looked into: one that stands in many places counts as often. */
  folders: number;
}

async function walk(walker: Walker, tree: string, path: string, depth: number): Promise<void> {
  const { repository, found } = walker;
  if (depth > maxTreeDepth) throw new BlockError('EIO', `folders are nested more than ${maxTreeDepth} deep`);
  if (++walker.folders > maxFolders) throw new BlockError('EIO', `there are more than ${maxFolders} folders`);
  const nodes = await repository.readTree(tree);
  found.push(...(await disksIn(repository, nodes, path)));
  for (const node of nodes)
    if (node.type === 'dir') await walk(walker, node.subtree, `${path}${node.name}/`, depth + 1);
}

/** Of one folder, whose path is empty or ends with a slash; not those below. Errors: EIO; of the store. */
export async function disksIn(
  repository: Repository,
  nodes: readonly TreeNode[],
  path: string,
): Promise<StoredDisk[]> {
  const files = nodes.filter((node): node is FileNode => node.type === 'file');
  const document = files.find(({ name }) => name === documentName);
  const facts = document && (await readFacts(repository, document));
  return files
    .filter((file) => file !== document)
    .map((file) => {
      const isOurs = facts && file.name.endsWith(diskSuffix);
      const name = isOurs ? file.name.slice(0, -diskSuffix.length) : file.name;
      return { path: `${path}${name}`, name, file, facts: facts?.get(name) };
    });
}

async function readFacts(
  repository: Repository,
  { content, size }: FileNode,
): Promise<Map<string, DiskFacts>> {
  if (size > maxDocumentBytes) throw new BlockError('EIO', `${documentName} has ${size} bytes`);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += 32)
    parts.push(await repository.readBlob('data', content.subarray(at, at + 32)));
  const record = parseRecord(concatenated(parts), documentName);
  if (record['version'] !== documentVersion)
    throw new BlockError(
      'ENOTSUP',
      `${documentName} is of version ${String(record['version'])}, not ${documentVersion}`,
    );
  const disks = Object.entries(asRecord(record['disks'], documentName));
  return new Map(
    disks.map(([name, value]) => {
      const what = `${documentName}: ${name}`;
      return [name, factsIn(asRecord(value, what), what)];
    }),
  );
}

function factsIn(disk: JsonRecord, what: string): DiskFacts {
  const size = countIn(disk, 'size', Number.MAX_SAFE_INTEGER, what);
  const cut = countIn(disk, 'chunkBytes', maxDataBytes, what);
  if (cut === 0) throw new BlockError('EIO', `${what}: chunks of 0 bytes`);
  const [bitmap, parent] = ['bitmap', 'parent'].map((name) =>
    disk[name] === undefined ? undefined : asRecord(disk[name], what),
  );
  const generation = (of: JsonRecord): string => stringIn(of, 'generation', what);
  return {
    ...{ size, chunkBytes: cut, format: stringIn(disk, 'format', what) },
    ...(bitmap && { bitmap: { name: stringIn(bitmap, 'name', what), generation: generation(bitmap) } }),
    ...(parent && {
      parent: { snapshot: stringIn(parent, 'snapshot', what), generation: generation(parent) },
    }),
  };
}
