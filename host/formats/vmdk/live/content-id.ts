/**
 * The content id of an image (specification: vmdk, section 1): another one from the first write on after it was opened, so
 * that images that rest on it can tell.
 *
 * It is written over the old one, with as many digits: less than a sector changes.
 */
import type { Edge } from '../../../block/edge.ts';
import type { Random } from '../../../platform/platform.ts';
import type { Descriptor } from '../disk/descriptor.ts';
import { noParent } from '../disk/descriptor.ts';

export class ContentId {
  value: number;
  private changing: Promise<void> | undefined;
  isChanged = false;

  /** `start`: where the descriptor is in the file. */
  constructor(
    private readonly file: Edge,
    private readonly start: number,
    private readonly descriptor: Pick<Descriptor, 'cid' | 'cidDigits'>,
    private readonly random: Random,
  ) {
    this.value = descriptor.cid;
  }

  /** Settles when the file has another one. */
  change(): Promise<void> {
    this.changing ??= this.write().catch((error: unknown) => {
      this.changing = undefined;
      throw error;
    });
    return this.changing;
  }

  private async write(): Promise<void> {
    const { offset, count } = this.descriptor.cidDigits;
    const value = newContentId(this.random, { count, not: this.value });
    await this.file.write(
      this.start + offset,
      new TextEncoder().encode(value.toString(16).padStart(count, '0')),
    );
    this.value = value;
    this.isChanged = true;
  }
}

/** Of at most `count` hexadecimal digits. */
export function newContentId(random: Random, { count = 8, not = noParent } = {}): number {
  for (;;) {
    const value = random.below(16 ** count);
    if (value !== not && value !== noParent) return value;
  }
}
