/**
 * The bitmaps of a disk around the instant of a backup (specification: store, section 7): what was written since its parent's, and what is
 * written from now on.
 *
 * None that was there is changed. When the snapshot is durable the earlier ones go; when there will be none, the new ones do.
 */
import { asBlockError } from '../../base/errors.ts';
import { newUuid } from '../../base/uuid.ts';
import { bitmapsOf, type NodeBitmaps } from '../../bitmaps/node-bitmaps.ts';
import type { BlockNode } from '../../block/node.ts';
import type { HierarchicalBitmap } from '../../core/bitmap.ts';
import type { Random } from '../../platform/platform.ts';
import {
  bitmapName,
  endGranularity,
  endName,
  generationOf,
  isOfRepository,
} from '../../store/bitmap-names.ts';
import { toHex } from '../../store/ids.ts';
import type { DiskParent } from '../../store/parent-disk.ts';

/** A UUID. */
export function newGeneration(random: Random): string {
  return toHex(newUuid(random)).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Of the bitmaps that a disk has of this repository's, in which nothing is missing. */
export function generationsOf(node: BlockNode, repository: string): Set<string> {
  const usable = [...bitmapsOf(node)].filter(({ recording, inconsistent }) => recording && !inconsistent);
  return new Set(usable.flatMap(({ name }) => generationOf(name ?? '', repository) ?? []));
}

export class Generation {
  private readonly bitmaps: NodeBitmaps;
  private readonly name: string;

  /** `repository`: its id. `generation`: a UUID. */
  constructor(
    private readonly node: BlockNode,
    private readonly repository: string,
    private readonly generation: string,
  ) {
    this.bitmaps = bitmapsOf(node);
    this.name = bitmapName(repository, generation);
  }

  /** Undefined: a disk that nobody writes to has none. */
  get facts(): { name: string; generation: string } | undefined {
    return this.isNeeded ? this.planned : undefined;
  }

  /** What it is when it is started later, and nobody writes until then. */
  get planned(): { name: string; generation: string } {
    const { name, generation } = this;
    return { name, generation };
  }

  /** Whether the disk has a bitmap of this repository's, of use or not. */
  get hasEarlier(): boolean {
    return [...this.bitmaps].some(
      ({ name = '' }) => isOfRepository(name, this.repository) && !this.isOwn(name),
    );
  }

  private get isNeeded(): boolean {
    return !this.node.readOnly && this.node.length > 0;
  }

  /** From now on writes are noted. Errors: ENOMEM. */
  start(): void {
    if (!this.isNeeded) return;
    this.add(this.name, {});
    const end = endName(this.name);
    this.add(end, { granularity: endGranularity, disabled: true });
    this.bitmaps.get(end).bits.set(this.node.length - 1, 1);
  }

  /** Where the format has no place for it, it lasts as long as the node. */
  private add(name: string, options: { granularity?: number; disabled?: boolean }): void {
    try {
      this.bitmaps.add(name, { ...options, persistent: true });
    } catch (error) {
      asBlockError(error);
      this.bitmaps.add(name, options);
    }
  }

  /** For `unchangedChunks`. Undefined: nothing can be gone on from. Nobody writes just now. */
  writtenSince({ bitmap: name, file, facts }: DiskParent): Uint8Array | undefined {
    const bitmap = this.bitmaps.find(name);
    const end = this.bitmaps.find(endName(name));
    const isWhole = end && !end.inconsistent && end.count > 0;
    if (!isWhole || !bitmap?.recording || bitmap.inconsistent) return undefined;
    const written = new Uint8Array(Math.ceil(file.size / facts.chunkBytes));
    // What an operation has taken has a successor, which has what came since.
    for (const { bits } of [bitmap, bitmap.successor ?? bitmap]) mark(written, bits, facts.chunkBytes);
    return written;
  }

  /** The snapshot is durable. Errors: of I/O. */
  async dropEarlier(): Promise<void> {
    for (const bitmap of [...this.bitmaps])
      if (isOfRepository(bitmap.name ?? '', this.repository) && !this.isOwn(bitmap.name))
        await this.drop(bitmap.name!); // it has one
  }

  /** There will be no snapshot. */
  async dropOwn(): Promise<void> {
    for (const bitmap of [...this.bitmaps]) if (this.isOwn(bitmap.name)) await this.drop(bitmap.name!); // it has one
  }

  private isOwn(name: string | undefined): boolean {
    return name === this.name || name === endName(this.name);
  }

  /** One that somebody uses stays. */
  private async drop(name: string): Promise<void> {
    const bitmap = this.bitmaps.get(name);
    if (bitmap.busy || bitmap.readonly) return;
    await this.bitmaps.removeStored(bitmap);
    this.bitmaps.remove(bitmap);
  }
}

function mark(written: Uint8Array, bits: HierarchicalBitmap, chunkBytes: number): void {
  const end = Math.min(bits.size, written.length * chunkBytes);
  for (let offset = 0; offset < end; ) {
    const dirty = bits.nextDirty(offset, end - offset);
    if (dirty < 0) return;
    const chunk = Math.floor(dirty / chunkBytes);
    written[chunk] = 1;
    offset = (chunk + 1) * chunkBytes;
  }
}
