/**
 * The vmdk driver: says which extent a request is for, and lets that one answer (specification: vmdk).
 *
 * The first write after the image was opened changes its content id. What is below the image has to have the content id
 * that it had when the image was made: reads of it fail otherwise, as with QEMU.
 */
import { BlockError } from '../../../base/errors.ts';
import { after, type MaybePromise } from '../../../base/maybe-promise.ts';
import type {
  Driver,
  DriverInfo,
  Extent,
  ReopenChange,
  ReopenStep,
  WritePlan,
  ZeroFlags,
} from '../../../block/driver.ts';
import { filenameOf } from '../../../block/filename.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { type Descriptor, noParent } from '../disk/descriptor.ts';
import type { ContentId } from './content-id.ts';
import type { DiskExtent } from './extent.ts';
import { type CompressedExtent, SparseExtent } from './sparse-extent.ts';

/** Of zeros that are written as data at once. */
const zeroBytes = 1 << 20;

/** An extent, and where it starts on the disk. */
interface Part {
  readonly extent: DiskExtent;
  readonly start: number;
}

/** What was read of an image. */
interface ImageParts {
  readonly descriptor: Descriptor;
  readonly contentId: ContentId;
  readonly extents: readonly DiskExtent[];
}

/** What opened images of either kind have. */
export abstract class Image implements Driver {
  readonly backing: { filename: string; format: string | undefined } | undefined;
  private readonly parts: readonly Part[];
  private readonly length: number;
  private isParentChecked = false;
  private readonly descriptor: Descriptor;
  private readonly contentId: ContentId;

  constructor(
    protected readonly context: OpenContext,
    { descriptor, contentId, extents }: ImageParts,
  ) {
    this.descriptor = descriptor;
    this.contentId = contentId;
    let start = 0;
    this.parts = extents.map((extent) => {
      const part = { extent, start };
      start += extent.bytes;
      return part;
    });
    this.length = start;
    const { parentName, parentCid } = descriptor;
    if (parentName !== undefined && parentCid !== noParent)
      this.backing = { filename: parentName, format: 'vmdk' };
  }

  /** Changes with the content. */
  get cid(): number {
    return this.contentId.value;
  }

  /** Whether that is what it is, or was when it was opened: a commit into it changes it below its overlays. */
  hasContent(cid: number): boolean {
    return cid === this.cid || cid === this.descriptor.cid;
  }

  get hasZeroInit(): boolean {
    return (
      this.backing === undefined &&
      this.extents.every(
        (extent) => extent instanceof SparseExtent || extent.info.file?.node.driver.hasZeroInit,
      )
    );
  }

  /** What is stored counts as data, wherever that has holes. */
  mayHaveHoles(): boolean {
    return true;
  }

  /** The descriptor says so, or nobody knows where more could go. */
  private get isReadOnly(): boolean {
    const isFixed = (extent: DiskExtent): boolean =>
      extent instanceof SparseExtent && extent.layout.isReadOnly;
    return this.descriptor.extents.some(({ isReadOnly }) => isReadOnly) || this.extents.some(isFixed);
  }

  get extents(): readonly DiskExtent[] {
    return this.parts.map(({ extent }) => extent);
  }

  async getLength(): Promise<number> {
    return this.length;
  }

  /** The part that has `offset`, which is on the disk. */
  protected partAt(offset: number): Part {
    const { parts } = this;
    let [low, high] = [0, parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (parts[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    return parts[low]!; // there is one at the least
  }

  map(offset: number, bytes: number): MaybePromise<Extent> {
    const { extent, start } = this.partAt(offset);
    const found = extent.map(offset - start, Math.min(bytes, start + extent.bytes - offset));
    if (this.isParentChecked || this.descriptor.parentCid === noParent) return found;
    return after(found, (mapped) => {
      if (mapped.type === 'unallocated') this.checkParent();
      return mapped;
    });
  }

  /** Errors: EINVAL, when what is below is not what the image was made on. */
  private checkParent(): void {
    const below = this.context.backingDriver();
    if (!below) return;
    const { parentCid } = this.descriptor;
    const own = `the image was made on content ${hex(parentCid)}`;
    if (!(below instanceof Image)) throw new BlockError('EINVAL', `Backing file is no vmdk image: ${own}`);
    if (!below.hasContent(parentCid))
      throw new BlockError('EINVAL', `Backing file has content ${hex(below.cid)}: ${own}`);
    this.isParentChecked = true;
  }

  async readSpecial(extent: Extent & { type: 'special' }, offset: number, buffer: Uint8Array): Promise<void> {
    const compressed = extent as CompressedExtent;
    const { start } = this.partAt(offset);
    const grain = await compressed.extent.readCompressed(compressed);
    const inGrain = offset - start - compressed.grainOffset;
    buffer.set(grain.subarray(inGrain, inGrain + buffer.length));
  }

  protected markChanged(): Promise<void> | undefined {
    return this.contentId.isChanged ? undefined : this.contentId.change();
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    await this.markChanged();
    for (let at = offset; at < offset + bytes; ) {
      const { extent, start } = this.partAt(at);
      const part = Math.min(offset + bytes, start + extent.bytes) - at;
      const done = await extent.writeZeroes(at - start, part, flags);
      if (done.needsData) await this.writeZeroData(at, done.bytes, flags);
      at += done.bytes;
    }
  }

  private async writeZeroData(offset: number, bytes: number, { noFallback }: ZeroFlags): Promise<void> {
    if (noFallback) throw new BlockError('ENOTSUP');
    for (let at = offset; at < offset + bytes; at += zeroBytes) {
      const zeros = new Uint8Array(Math.min(zeroBytes, offset + bytes - at));
      await this.writeData(at, zeros);
    }
  }

  /** As a request of a guest does. */
  protected abstract writeData(offset: number, data: Uint8Array): Promise<void>;

  abstract writeCompressed(offset: number, buffer: Uint8Array): Promise<void>;

  async flush(): Promise<void> {
    for (const extent of this.extents) await extent.writeBack?.(true);
  }

  async writeOut(): Promise<void> {
    for (const extent of this.extents) await extent.writeBack?.(false);
  }

  info(): DriverInfo {
    const { createType, parentCid } = this.descriptor;
    const clusterBytes = this.extents[0]?.grainBytes;
    return {
      ...(clusterBytes === undefined ? {} : { clusterBytes }),
      formatSpecific: {
        type: 'vmdk',
        data: {
          cid: this.cid,
          'parent-cid': parentCid,
          'create-type': createType,
          extents: this.extents.map(describeExtent),
        },
      },
    };
  }

  async reopen({ flags }: ReopenChange): Promise<ReopenStep> {
    if (this.isReadOnly && !flags.readOnly) {
      if (!flags.autoReadOnly) throw new BlockError('EACCES', 'Image is read-only');
      flags.readOnly = true;
    }
    if (!this.context.flags.readOnly) await this.flush();
    return {};
  }

  async close(): Promise<void> {
    if (!this.context.flags.readOnly) await this.flush();
  }
}

function describeExtent({ bytes, info: { format, file, clusterBytes, compressed } }: DiskExtent): object {
  return {
    ...(compressed && { compressed }),
    'virtual-size': bytes,
    filename: file ? filenameOf(file.node) : '',
    ...(clusterBytes !== undefined && { 'cluster-size': clusterBytes }),
    format,
  };
}

function hex(cid: number): string {
  return cid.toString(16).padStart(8, '0');
}

/** One that can be written anywhere, any number of times. */
export class VmdkDriver extends Image {
  prepareWrite(offset: number, bytes: number): MaybePromise<WritePlan> {
    const marked = this.markChanged();
    if (marked !== undefined) return marked.then(() => this.prepareWrite(offset, bytes));
    const { extent, start } = this.partAt(offset);
    return extent.prepareWrite(offset - start, Math.min(bytes, start + extent.bytes - offset));
  }

  protected writeData(offset: number, data: Uint8Array): Promise<void> {
    return this.context.self.write(offset, data);
  }

  /** Grains of such images are stored as they are. */
  async writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    await this.writeData(offset, buffer);
  }
}

/** One whose grains are compressed: each is written whole, and once. */
export class StreamDriver extends Image {
  readonly needsCompressedWrites = true;

  async write(offset: number, buffer: Uint8Array): Promise<void> {
    await this.markChanged();
    for (let done = 0; done < buffer.length; ) {
      const at = offset + done;
      const { extent, start } = this.partAt(at);
      const part = buffer.subarray(
        done,
        done + Math.min(extent.grainBytes ?? buffer.length, start + extent.bytes - at),
      );
      if (!(extent instanceof SparseExtent)) throw new BlockError('ENOTSUP');
      await extent.writeCompressed(at - start, part);
      done += part.length;
    }
  }

  protected writeData(offset: number, data: Uint8Array): Promise<void> {
    return this.write(offset, data);
  }

  writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    return this.write(offset, buffer);
  }
}
