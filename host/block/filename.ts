/**
 * File names of nodes, as queries, messages and headers of overlays show them (specification: graph, section 6).
 *
 * An *exact* name says everything there is to say about a node. Where options say more than a name can, the name is
 * `json:` and the options.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { inDictionaryOrder } from '../qapi/dictionary-order.ts';
import { formatJson } from '../qapi/json-output.ts';
import { isJsonObject } from '../qapi/json-value.ts';
import type { BlockNode } from './node.ts';
import { isProtocol } from './options.ts';

/** Longest name shown. */
const maxFilenameChars = 4095;

/** Undefined when only `json:` can describe the node. */
export function exactFilename(node: BlockNode): string | undefined {
  const { definition, options } = node;
  if (node.implicit || definition.isNamedAsChild) {
    const below = namedAs(node);
    return below && exactFilename(below);
  }
  if (definition.exactFilename) {
    return definition.exactFilename(node.own!, (name) => {
      // Nodes that are named have been opened, with options of their own.
      const child = node.children.get(name)?.node;
      return child && exactFilename(child);
    });
  }
  if (definition.kind !== 'format') return undefined;
  if (overridesBacking(node)) return undefined;
  if (definition.strongOptions?.some((name) => options[name] !== undefined)) return undefined;
  const file = node.children.get('file')?.node;
  return file && isProtocol(file.definition) ? exactFilename(file) : undefined;
}

/** The child whose name stands for a node that has none of its own. */
function namedAs(node: BlockNode): BlockNode | undefined {
  return node.filtered() ?? node.primaryChild()?.node;
}

/** The name to show: exact, or `json:{…}`. */
export function filenameOf(node: BlockNode): string {
  if (node.implicit || node.definition.isNamedAsChild) {
    const below = namedAs(node);
    if (below) return filenameOf(below);
  }
  const exact = exactFilename(node);
  if (exact !== undefined) return exact;
  const text = `json:${formatJson(fullOptions(node))}`;
  return text.length > maxFilenameChars ? `${text.slice(0, maxFilenameChars - 3)}...` : text;
}

/**
 * What an image is to call the format of `backing` that it rests on. `maskProtocol`: not every reader of images takes a
 * protocol for a format, but raw is what its bytes are.
 */
export function backingFormat(backing: BlockNode, maskProtocol = false): string {
  const { name, kind } = backing.definition;
  return maskProtocol && kind === 'protocol' ? 'raw' : name;
}

/** Driver, strong options and the full options of the children. */
function fullOptions(node: BlockNode): Record<string, unknown> {
  if (node.implicit) {
    const below = node.filtered();
    if (below) return fullOptions(below);
  }
  const strong = node.definition.strongOptions ?? [];
  const result: Record<string, unknown> = { driver: node.definition.name };
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(ownOptions(node))) {
    if (strong.includes(key) || (node.definition.kind === 'protocol' && key === 'filename'))
      Object.assign(own, flattened(key, value));
  }
  // Taken over from one hash table to the next.
  for (const [key, value] of inDictionaryOrder(own)) result[key] = value;
  for (const edge of node.children.values()) {
    if (edge.role === 'cow') {
      if (overridesBacking(node)) result['backing'] = fullOptions(edge.node);
    } else if (!node.namedFiles.has(edge.name)) {
      addChild(result, edge.name, fullOptions(edge.node));
    }
  }
  if (overridesBacking(node) && !node.backing()) result['backing'] = null;
  return result;
}

/** Children `NAME.0`, `NAME.1`, … are elements of one list. */
function addChild(options: Record<string, unknown>, name: string, child: object): void {
  const list = /^(.*)\.\d+$/.exec(name)?.[1];
  if (list === undefined) {
    options[name] = child;
    return;
  }
  const elements = (options[list] ?? []) as object[];
  elements.push(child);
  options[list] = elements;
}

/**
 * Lists and objects become one member for each value in them: `key.0.member`. Their order shows where QEMU's hash table
 * puts two in one place.
 */
export function flattened(key: string, value: unknown): Record<string, unknown> {
  if (!isJsonObject(value) && !Array.isArray(value)) return { [key]: value };
  const members = Array.isArray(value) ? Object.entries(value) : inDictionaryOrder(value);
  return Object.assign({}, ...members.map(([name, inner]) => flattened(`${key}.${name}`, inner)));
}

function ownOptions(node: BlockNode): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  for (const { name } of node.definition.options.members) {
    if (node.options[name] !== undefined) own[name] = node.options[name];
  }
  return { ...own, ...node.driver?.settledOptions };
}

/** Whether the node's backing file is another than the one its image names. */
function overridesBacking(node: BlockNode): boolean {
  if (node.flags.noIo) return false;
  const named = node.driver?.backing;
  const backing = node.backing();
  if (!backing) return named !== undefined && node.options['backing'] !== undefined;
  if (named === undefined) return true;
  const { openedBacking } = node;
  // What a name led to when it was opened needs not look like the name. Otherwise names are compared as they are.
  const expected = openedBacking?.named === named ? openedBacking.filename : named.filename;
  return expected !== filenameOf(backing);
}

/**
 * The path of a backing file named `backingName` in the image of `node`: relative names start at the directory of
 * the node's own file. Purely textual. Errors: a relative name where the node's file has no directory.
 */
export function resolveBackingName(node: BlockNode, backingName: string): string {
  if (backingName.startsWith('/') || hasProtocol(backingName)) return backingName;
  return folderOf(node) + backingName;
}

/**
 * The path of a file that the image of `node` is made of, and may write to: always in the folder of the node's own file, or
 * below it. Purely textual. Errors: EACCES for a name that leads out of it; as `resolveBackingName`.
 */
export function resolveOwnName(node: BlockNode, name: string): string {
  if (name.startsWith('/') || name.split('/').includes('..'))
    throw new BlockError('EACCES', `File '${name}' of the image is not in the folder of the image`);
  const folder = folderOf(node);
  return folder === '' ? plainName(name) : folder + name;
}

/** Where the node's own file is: empty, or with a slash at the end. */
function folderOf(node: BlockNode): string {
  const storage = storageOf(node);
  if (storage.definition.kind !== 'protocol')
    throw invalid(`Cannot generate a base directory for ${storage.definition.name} nodes`);
  const { withoutFolder } = storage.definition;
  if (withoutFolder !== undefined)
    throw invalid(`Cannot generate a base directory for ${withoutFolder} nodes`);
  const own = exactFilename(storage);
  if (own === undefined) {
    throw new BlockError('EINVAL', `Cannot use relative backing file names for '${filenameOf(node)}'`);
  }
  return own.slice(0, own.lastIndexOf('/') + 1);
}

/** As `resolveBackingName`, undefined where the image names none, or one that cannot be found from there. */
export function fullBackingName(node: BlockNode): string | undefined {
  const named = node.driver.backing?.filename;
  try {
    return named === undefined ? undefined : resolveBackingName(node, named);
  } catch (error) {
    if (error instanceof BlockError) return undefined;
    throw error;
  }
}

/** Whether the first part of a name is taken for that of a protocol. */
function hasProtocol(filename: string): boolean {
  return /^[^/]*:/.test(filename);
}

/** A plain file's name, written so that its first part is not taken for a protocol: `./a:b` for `a:b`. */
export function plainName(filename: string): string {
  return hasProtocol(filename) ? `./${filename}` : filename;
}

/** The node at the bottom of what stores `node`'s image. */
function storageOf(node: BlockNode): BlockNode {
  let storage = node;
  for (let edge = node.primaryChild(); edge; edge = storage.primaryChild()) storage = edge.node;
  return storage;
}

/** The same for an image that is not open: the overlay's file name is all there is. */
export function resolveAgainst(overlayFilename: string, backingName: string): string {
  if (backingName.startsWith('/') || hasProtocol(backingName)) return backingName;
  if (overlayFilename.startsWith('json:')) {
    throw new BlockError('EINVAL', `Cannot use relative backing file names for '${overlayFilename}'`);
  }
  return overlayFilename.slice(0, overlayFilename.lastIndexOf('/') + 1) + backingName;
}
