/**
 * Snapshots: a machine at one instant, and the tree that it is (specification: store, section 7).
 *
 * `forget` groups snapshots by host and paths, so both stay the same for a machine.
 */
import { concatenated } from '../base/concatenated.ts';
import { BlockError } from '../base/errors.ts';
import { idBytes, idFrom, putHex, toHex } from './ids.ts';

import { asRecord, type JsonRecord, listIn, parseRecord, stringIn } from './json.ts';

export interface Snapshot {
  /** RFC 3339. */
  readonly time: string;
  /** Its root. */
  readonly tree: string;
  readonly paths: readonly string[];
  readonly hostname: string;
  readonly username?: string;
  readonly tags: readonly string[];
  /** Only a hint. */
  readonly parent?: string;
}

/** One, with the id that its file has. */
export interface NamedSnapshot extends Snapshot {
  readonly id: string;
}

export function snapshotDocument({ tags, ...rest }: Snapshot, program: string): unknown {
  return { ...rest, ...(tags.length > 0 ? { tags } : {}), program_version: program };
}

/** Errors: EIO. */
export function parseSnapshot(json: Uint8Array, id: string): NamedSnapshot {
  const what = `snapshot ${id}`;
  const record = parseRecord(json, what);
  const strings = (name: string): string[] => listIn(record, name, what).map(String);
  return {
    id,
    time: stringIn(record, 'time', what),
    tree: toHex(idFrom(record['tree'], what)),
    paths: strings('paths'),
    hostname: optionalString(record, 'hostname') ?? '',
    tags: strings('tags'),
    ...member(record, 'username'),
    ...member(record, 'parent'),
  };
}

function member<Name extends string>(record: JsonRecord, name: Name): { [key in Name]?: string } {
  const value = optionalString(record, name);
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]: string });
}

function optionalString(record: JsonRecord, name: string): string | undefined {
  const value = record[name];
  return typeof value === 'string' ? value : undefined;
}

/** What there is in a folder of a snapshot: files and folders; links and devices are left out. */
export type TreeNode = FileNode | FolderNode;

export interface FileNode {
  readonly type: 'file';
  readonly name: string;
  readonly size: number;
  /** RFC 3339. */
  readonly modified: string;
  /** Ids of its chunks, one after the other. */
  readonly content: Uint8Array;
}

interface FolderNode {
  readonly type: 'dir';
  readonly name: string;
  readonly modified: string;
  readonly subtree: string;
}

/** Permissions: the owner's alone. Go's bit for a folder is the highest of 32. */
const fileMode = 0o600;
const folderMode = 0x80000000 + 0o700;

/** `nodes` in any order; their names are all different, and of letters, digits, dots, hyphens and underscores. */
export function encodeTree(nodes: readonly TreeNode[], owner: { username: string }): Uint8Array {
  const sorted = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const encoded = sorted.map((node) => {
    const { name, type, modified } = node;
    const common = {
      ...{ name, type, mode: type === 'file' ? fileMode : folderMode },
      ...{ mtime: modified, atime: modified, ctime: modified, uid: 0, gid: 0, user: owner.username },
    };
    if (node.type === 'dir') return { ...common, subtree: node.subtree, content: null };
    return { ...common, size: node.size, links: 1, content: [] };
  });
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [encoder.encode('{"nodes":[')];
  for (const [i, node] of sorted.entries()) {
    const text = `${i === 0 ? '' : ','}${JSON.stringify(encoded[i])}`;
    if (node.type === 'dir') parts.push(encoder.encode(text));
    // A disk may have a million chunks: their ids are put in as they are to be, and never are so many texts.
    else parts.push(encoder.encode(text.slice(0, -2)), idList(node.content), encoder.encode(']}'));
  }
  return concatenated([...parts, encoder.encode(']}\n')]);
}

/** Errors: EIO. */
export function parseTree(json: Uint8Array, what: string): TreeNode[] {
  return listIn(parseRecord(json, what), 'nodes', what).flatMap((item): TreeNode[] => {
    const record = asRecord(item, what);
    const name = stringIn(record, 'name', what);
    if (!isFileName(name)) throw new BlockError('EIO', `${what}: ${JSON.stringify(name)} is no file name`);
    const modified = optionalString(record, 'mtime') ?? '';
    const where = `${what}: ${name}`;
    if (record['type'] === 'dir') {
      const subtree = toHex(idFrom(record['subtree'], where));
      return [{ type: 'dir', name, modified, subtree }];
    }
    if (record['type'] !== 'file') return [];
    const size = Number(record['size'] ?? 0);
    return [
      { type: 'file', name, modified, size, content: contentOf(listIn(record, 'content', where), where) },
    ];
  });
}

/** Whoever restores it must stay in the folder. */
function isFileName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

/** Each in quotes, with commas between them. */
function idList(content: Uint8Array): Uint8Array {
  const entryBytes = 2 * idBytes + 3;
  const count = content.length / idBytes;
  const list = new Uint8Array(count * entryBytes);
  for (let i = 0; i < count; i++) {
    const at = i * entryBytes;
    list[at] = list[at + entryBytes - 2] = 0x22;
    list[at + entryBytes - 1] = 0x2c;
    putHex(content.subarray(i * idBytes, (i + 1) * idBytes), list, at + 1);
  }
  return list.subarray(0, Math.max(0, list.length - 1));
}

function contentOf(ids: readonly unknown[], what: string): Uint8Array {
  const content = new Uint8Array(32 * ids.length);
  for (const [i, id] of ids.entries()) content.set(idFrom(id, what), 32 * i);
  return content;
}
