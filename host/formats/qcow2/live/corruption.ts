/**
 * An image that was found to be damaged while it is in use (specification: qcow2, section 10.7).
 *
 * The first time, it is told on the terminal and as an event. A writable image takes no more requests from then on, and its
 * header is marked, so that nobody else writes to it either: whoever hears of the corruption, and whoever closes the image,
 * does so after the mark is durable. Failing to mark is told on the terminal; the requests fail all the same.
 */
import { BlockError } from '../../../base/errors.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { Corruption, MetadataClass } from '../../../core/qcow2-abi.ts';
import type { FoundCorruption } from '../../../core/qcow2-results.ts';

/** In QEMU's words. */
const metadataNames = new Map<number, string>([
  [MetadataClass.mainHeader, 'qcow2_header'],
  [MetadataClass.activeL1, 'active L1 table'],
  [MetadataClass.activeL2, 'active L2 table'],
  [MetadataClass.refcountTable, 'refcount table'],
  [MetadataClass.refcountBlock, 'refcount block'],
  [MetadataClass.snapshotTable, 'snapshot table'],
  [MetadataClass.inactiveL1, 'inactive L1 table'],
  [MetadataClass.inactiveL2, 'inactive L2 table'],
  [MetadataClass.bitmapDirectory, 'bitmap directory'],
]);

/** What a cluster was to be allocated for, by the numbers of assembly/qcow2/refcount.ts. */
const purposes = ['data cluster', 'L2 table', 'compressed cluster', 'refcount block', 'metadata'];

const hex = (offset: number): string => `0x${offset.toString(16)}`;

const texts = new Map<number, (found: FoundCorruption) => string>([
  [Corruption.refcountBlock, ({ offset }) => `Refblock offset ${hex(offset)} unaligned`],
  [Corruption.l2Table, ({ offset }) => `L2 table offset ${hex(offset)} unaligned`],
  [Corruption.dataCluster, ({ offset }) => `Cluster allocation offset ${hex(offset)} unaligned`],
  [
    Corruption.overlap,
    ({ detail }) => `Preventing invalid write on metadata (overlaps with ${metadataNames.get(detail)})`,
  ],
  [Corruption.refcount, ({ offset }) => `Refcount of the cluster at offset ${hex(offset)} is wrong`],
  [
    Corruption.zeroInVersion2,
    ({ offset }) => `Zero cluster entry found in pre-v3 image (guest offset ${hex(offset)})`,
  ],
  [Corruption.zeroCluster, ({ offset }) => `Preallocated zero cluster offset ${hex(offset)} unaligned`],
  [Corruption.allocation, ({ detail }) => `Preventing invalid allocation of ${purposes[detail]} at offset 0`],
]);

function describe(found: FoundCorruption): string {
  return texts.get(found.kind)?.(found) ?? `Damage of kind ${found.kind} at offset ${hex(found.offset)}`;
}

export class ImageCorruption {
  private fatal = false;
  private told = false;
  private marking: Promise<void> | undefined;

  /** `mark` sets the corrupt bit of the header, durably. */
  constructor(
    private readonly context: OpenContext,
    private readonly mark: () => Promise<void>,
  ) {}

  /** The image takes no more requests. */
  get isFatal(): boolean {
    return this.fatal;
  }

  /** Throws when the image takes no more requests. */
  checkUsable(): void {
    if (this.fatal) throw new BlockError('EIO');
  }

  /** A step found damage. Gives what the request fails with, once the image is marked. */
  async found(what: FoundCorruption): Promise<BlockError> {
    const { readOnly } = this.context.flags;
    if (!this.told) {
      this.told = true;
      this.tell(describe(what), what);
    }
    if (!readOnly && !this.fatal) {
      this.fatal = true;
      this.marking = this.tryToMark();
    }
    await this.marking;
    return new BlockError('EIO');
  }

  /** The core failed on the image. */
  trapped(): void {
    if (this.fatal) return;
    this.fatal = true;
    this.context.reportCorruption({ message: 'The qcow2 engine failed on this image', fatal: true });
  }

  /** Settles when the image is marked, if it has to be. */
  async marked(): Promise<void> {
    await this.marking;
  }

  private tell(message: string, { kind, offset, bytes }: FoundCorruption): void {
    const fatal = !this.context.flags.readOnly;
    const [marking, which] = fatal ? ['Marking image as corrupt', ''] : ['Image is corrupt', 'non-fatal '];
    this.stderr(`${marking}: ${message}; further ${which}corruption events will be suppressed`);
    this.context.reportCorruption({
      message,
      offset,
      ...(kind === Corruption.overlap ? { bytes } : {}),
      fatal,
    });
  }

  private async tryToMark(): Promise<void> {
    try {
      await this.mark();
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.stderr(`The image could not be marked as corrupt: ${error.message}`);
    }
  }

  private stderr(text: string): void {
    this.context.platform.console.stderr(`qcow2: ${text}`);
  }
}
