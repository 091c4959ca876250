/**
 * How a qcow2 image says that a journal of its bitmaps, kept beside it, is about its present state: autoclear bit 62, and
 * a header extension (0x42594a4c) with the 8 bytes that identify the journal.
 *
 * A program that does not know an autoclear bit clears it before it writes anything to the image; QEMU does. So while the
 * bit is set, nobody has written to the image who does not know of the journal. The extension alone says nothing.
 */
import type { JournalTie } from '../../../block/bitmap-storage.ts';
import { extensionType, findExtension } from '../disk/extensions.ts';
import { autoclear } from '../disk/feature-bits.ts';
import type { Qcow2Engine } from './engine.ts';

const identityBytes = 8;

export class Qcow2JournalTie implements JournalTie {
  constructor(private readonly engine: Qcow2Engine) {}

  get identity(): string | undefined {
    const { header } = this.engine;
    const data = findExtension(header.extensions, extensionType.bitmapJournal);
    const isTied = (header.autoclearFeatures & autoclear.bitmapJournal) !== 0n;
    if (!isTied || data?.length !== identityBytes) return undefined;
    return [...data].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  async change(identity: string | undefined): Promise<void> {
    const { engine } = this;
    if ((engine.header.autoclearFeatures & autoclear.bitmapJournal) === 0n && identity === undefined) return;
    const bytes = identity?.match(/../g)?.map((pair) => Number.parseInt(pair, 16));
    const bitmapJournal = bytes ? Uint8Array.from(bytes) : null;
    await engine.exclusively(() => engine.updateHeader({ bitmapJournal }));
  }
}
