/**
 * An image that was found to be damaged while it is in use (specification: qcow2, section 10.7).
 *
 * The first time, it is told on the terminal and as an event. A writable image takes no more requests from then on, and its
 * header is marked, so that nobody else writes to it either: whoever hears of the corruption, and whoever closes the image,
 * does so after the mark is durable. Failing to mark is told on the terminal; the requests fail all the same.
 */
import { BlockError } from '../../../base/errors.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { Corruption } from '../../../core/qcow2-abi.ts';
import type { FoundCorruption } from '../../../core/qcow2-results.ts';
import { loadPart } from '../../../platform/platform.ts';

export class ImageCorruption {
  private fatal = false;
  private told = false;
  private telling: Promise<void> | undefined;
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
      this.telling = this.tell(what);
    }
    if (!readOnly && !this.fatal) {
      this.fatal = true;
      this.marking = this.tryToMark();
    }
    await this.telling;
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

  private async tell(found: FoundCorruption): Promise<void> {
    const { kind, offset, bytes } = found;
    const message = await this.describe(found);
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

  private async describe(found: FoundCorruption): Promise<string> {
    try {
      const { describeCorruption } = await loadPart(this.context.platform, () => import('./on-demand.ts'));
      return describeCorruption(found);
    } catch {
      // The words are not to be had; that there is damage is told all the same.
      return `Damage at offset ${found.offset}`;
    }
  }

  private async tryToMark(): Promise<void> {
    // What it is marked for is told first.
    await this.telling;
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
