/**
 * The dirty bitmaps of a node, newest first, and what happens to them as its data changes (specification: bitmaps,
 * sections 1, 2 and 4).
 *
 * A request that changes data marks all enabled bitmaps of each node it passes, when it is over, even if it failed. A
 * resize of the node resizes them. Names are unique on a node; those that jobs use for themselves have none.
 *
 * While an operation such as a backup works from a bitmap B, B has a successor: an unnamed bitmap that records in its
 * place. The end is one of two: `abdicate`, and the successor becomes B; `reclaim`, and its bits go into B.
 *
 * When persistent ones are stored and loaded is in persistence.ts; the journal that lets them survive a crash hears of
 * writes and of what backups do to bitmaps from here.
 */
import { assert } from '../base/assert.ts';
import { AttachmentKey } from '../base/attachments.ts';
import { asBlockError, BlockError, invalid } from '../base/errors.ts';
import type { BitmapStorage, StoredBitmap } from '../block/bitmap-storage.ts';
import { clusterBytesOf } from '../block/cluster-bytes.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode, WriteObserver } from '../block/node.ts';
import { maxBitmapGranules } from '../core/bitmap.ts';
import { type BlockDirtyInfo, DirtyBitmap, type DirtyBitmapOptions } from './dirty-bitmap.ts';
import type { BitmapJournal } from './journal.ts';
import type { SidePaths } from './side-file-storage.ts';

const minGranularity = 512;
const maxNameBytes = 1023;
const defaultGranularity = 65_536;
const minDefaultGranularity = 4096;

interface AddOptions {
  /** Bytes per bit. Absent: the cluster size of the image within 4 KiB … 64 KiB. */
  granularity?: number | undefined;
  persistent?: boolean | undefined;
  /** Does not record from the start. */
  disabled?: boolean | undefined;
}

const bitmapsKey = new AttachmentKey((node: BlockNode) => new NodeBitmaps(node));

/** The bitmaps of `node`. */
export function bitmapsOf(node: BlockNode): NodeBitmaps {
  return node.attachments.get(bitmapsKey);
}

/** Nodes that have, or had, bitmaps. */
export function nodesWithBitmaps(graph: BlockGraph): BlockNode[] {
  return graph.nodes().filter((node) => node.attachments.has(bitmapsKey));
}

/** The bitmap that a command names, of a node or of a device's; throws QEMU's words when there is no such node or bitmap. */
export function findBitmap(
  graph: BlockGraph,
  nodeName: string,
  name: string,
): { node: BlockNode; bitmap: DirtyBitmap } {
  const node = graph.find(nodeName, nodeName);
  if (!node) throw invalid(`Node '${nodeName}' not found`);
  return { node, bitmap: bitmapsOf(node).get(name) };
}

export class NodeBitmaps implements WriteObserver, Iterable<DirtyBitmap> {
  /** Newest first. */
  private readonly list: DirtyBitmap[] = [];
  /** How many there have been. */
  private made = 0;
  /** Where persistent ones are kept when the format has no place for them. */
  sideStorage: BitmapStorage | undefined;
  /** The file beside the image that they may be kept in, while no other node has it (side-paths.ts). */
  sidePaths: SidePaths | undefined;
  /** Keeps the persistent ones, while there is one. */
  journal: BitmapJournal | undefined;

  constructor(private readonly node: BlockNode) {}

  get storage(): BitmapStorage | undefined {
    return this.node.driver.bitmapStorage ?? this.sideStorage;
  }

  [Symbol.iterator](): Iterator<DirtyBitmap> {
    return this.list[Symbol.iterator]();
  }

  find(name: string): DirtyBitmap | undefined {
    return this.list.find((bitmap) => bitmap.name === name);
  }

  get(name: string): DirtyBitmap {
    const bitmap = this.find(name);
    if (!bitmap) throw invalid(`Dirty bitmap '${name}' not found`);
    return bitmap;
  }

  /** What `block-dirty-bitmap-add` does. Throws QEMU's words; ENOMEM. */
  add(name: string, options: AddOptions = {}): DirtyBitmap {
    if (name === '') throw invalid('Bitmap name cannot be empty');
    const granularity = options.granularity ?? this.defaultGranularity();
    if (granularity < minGranularity || !Number.isInteger(Math.log2(granularity))) {
      throw invalid(`Granularity must be power of 2 and at least ${minGranularity}`);
    }
    if (options.persistent) this.checkStorable(name, granularity);
    if (this.find(name)) throw invalid(`Bitmap already exists: ${name}`);
    if (new TextEncoder().encode(name).length > maxNameBytes) throw invalid(`Bitmap name too long: ${name}`);
    if (this.node.length / granularity > maxBitmapGranules) {
      throw invalid(
        `Bitmap '${name}' would have more than ${maxBitmapGranules} bits. Use larger granularity`,
      );
    }
    const bitmap = this.create({ name, granularity, disabled: options.disabled ?? false });
    bitmap.persistent = options.persistent ?? false;
    return bitmap;
  }

  /** A bitmap as the image has it, still without its bits. It may not be changed before the stored form is marked. */
  addStored({ name, granularity, enabled, inconsistent }: StoredBitmap): DirtyBitmap {
    const bitmap = this.create({ name, granularity, disabled: !enabled || inconsistent, inconsistent });
    bitmap.persistent = true;
    bitmap.readonly = true;
    return bitmap;
  }

  /** Throws QEMU's words when the image has no room for such a bitmap. */
  private checkStorable(name: string, granularity: number): void {
    const { node, storage } = this;
    if (!storage) {
      throw new BlockError(
        'ENOTSUP',
        `Can't store persistent bitmaps to ${node.name}: Operation not supported`,
      );
    }
    // Persistent ones have names.
    const others = this.list
      .filter(({ persistent }) => persistent)
      .map((bitmap) => ({ name: bitmap.name!, granularity: bitmap.granularity }));
    try {
      storage.checkRoom({ name, granularity }, others, node.length);
    } catch (error) {
      throw asBlockError(error).within(`Can't make bitmap '${name}' persistent in '${node.name}'`);
    }
  }

  /** A bitmap for a job's own use. Errors: ENOMEM. */
  addAnonymous(granularity: number, { disabled }: { disabled: boolean }): DirtyBitmap {
    return this.create({ granularity, disabled });
  }

  /** Takes a persistent bitmap out of the image; it stays on the node. Errors: EACCES `No write access`, and of I/O. */
  async removeStored({ name, persistent }: DirtyBitmap): Promise<void> {
    const { node, storage } = this;
    if (!persistent || !storage?.list().some((stored) => stored.name === name)) return;
    if (node.readOnly) throw new BlockError('EACCES', 'No write access');
    try {
      await storage.remove(name!); // a stored one has a name
    } catch (error) {
      throw asBlockError(error).within('Failed to update bitmap extension');
    }
  }

  remove(bitmap: DirtyBitmap): void {
    const index = this.list.indexOf(bitmap);
    assert(index >= 0, `bitmap '${bitmap.name}' is not on node ${this.node.name}`);
    this.list.splice(index, 1);
    if (this.list.length === 0) this.node.writeObservers.delete(this);
  }

  /** `dirty-bitmaps` of BlockDeviceInfo: undefined when there are none. */
  query(): BlockDirtyInfo[] | undefined {
    return this.list.length === 0 ? undefined : this.list.map((bitmap) => bitmap.query());
  }

  /** The cluster size of the image within 4 KiB … 64 KiB, 64 KiB when there is none. */
  defaultGranularity(): number {
    const clusterBytes = clusterBytesOf(this.node) ?? 0;
    if (clusterBytes === 0) return defaultGranularity;
    return Math.min(Math.max(clusterBytes, minDefaultGranularity), defaultGranularity);
  }

  /** An operation takes `bitmap`, which was checked to be free, and leaves recording to its successor. */
  createSuccessor(bitmap: DirtyBitmap): DirtyBitmap {
    assert(!bitmap.busy && !bitmap.successor, `bitmap '${bitmap.name}' is taken already`);
    const successor = this.create({ granularity: bitmap.granularity, disabled: bitmap.disabled });
    bitmap.successor = successor;
    bitmap.disabled = true;
    bitmap.busy = true;
    return successor;
  }

  /** The successor becomes the bitmap: what it stood for is done with. */
  abdicate(bitmap: DirtyBitmap): DirtyBitmap {
    const { successor } = bitmap;
    assert(successor, `bitmap '${bitmap.name}' has no successor`);
    successor.name = bitmap.name;
    successor.persistent = bitmap.persistent;
    bitmap.successor = undefined;
    this.remove(bitmap);
    // The caller may add to it in this same turn: what is saved is how it is later. Until then a crash finds more in it.
    this.journal?.save().catch(() => {});
    return successor;
  }

  /** The bitmap is as it was and has recorded all the time. */
  reclaim(bitmap: DirtyBitmap): void {
    const { successor } = bitmap;
    assert(successor, `bitmap '${bitmap.name}' has no successor`);
    bitmap.bits.merge(successor.bits);
    bitmap.disabled = successor.disabled;
    bitmap.busy = false;
    bitmap.successor = undefined;
    this.remove(successor);
  }

  beforeWrite(offset: number, bytes: number): Promise<void> | undefined {
    return this.journal?.admit(offset, bytes);
  }

  onWrite(offset: number, bytes: number): void {
    for (const bitmap of this.list) {
      if (!bitmap.disabled) bitmap.bits.set(offset, bytes);
    }
    this.journal?.finished(offset, bytes);
  }

  /** The stored form of a bitmap that cannot be changed would no longer fit. */
  beforeResize(): void {
    for (const { name } of this.storage?.list() ?? []) this.find(name)?.check('modify');
  }

  onResize(length: number): void {
    for (const bitmap of this.list) if (!bitmap.inconsistent) bitmap.bits.resize(length);
  }

  private create(options: Omit<DirtyBitmapOptions, 'size' | 'serial'>): DirtyBitmap {
    const size = options.inconsistent ? 0 : this.node.length;
    const bitmap = new DirtyBitmap({ ...options, size, serial: ++this.made });
    this.list.unshift(bitmap);
    this.node.writeObservers.add(this);
    return bitmap;
  }
}
