/**
 * What makes the persistent bitmaps of a node survive an unclean exit: a journal beside the image (side-file.ts).
 *
 * The disk is divided into regions. Before a write touches a region for the first time since the last checkpoint, the
 * region is durable in the journal: one small write and flush, shared by the writes that wait for it; later writes to the
 * region cost nothing. A checkpoint holds all persistent bitmaps at an instant. So what a bitmap should hold is always
 * part of what the checkpoint says, and, if it recorded, all regions noted since.
 *
 * A change of a bitmap by other means than writes makes a new checkpoint. What was in flight at its instant may be
 * recorded after it, so the regions of that are noted in it from the start; new writes wait until it is durable. What a
 * checkpoint leaves out may have been copied by a backup already: the writes it is about are made durable first, or the
 * image could fall back to what it was before them, unnoticed.
 *
 * A journal begins, changes and ends in the order of asking, so that whoever has one and calls `leave` is the last: what still
 * begins is waited for.
 *
 * A journal that cannot be written is given up, with a warning, and nobody will believe it: then a crash leaves bitmaps
 * inconsistent, as in QEMU. Only when that cannot be made sure either, writes fail.
 */
import { createDeferred } from '../base/deferred.ts';
import { asBlockError, type BlockError } from '../base/errors.ts';
import { Mutex } from '../base/mutex.ts';
import { roundUp } from '../base/sectors.ts';
import type { JournalTie } from '../block/bitmap-storage.ts';
import type { Platform } from '../platform/platform.ts';
import { readSideFile, SideFile } from './side-file.ts';
import { hex, type SavedBitmap } from './side-file-format.ts';

const minRegionBytes = 1 << 20;
const maxRegionBytes = 1 << 24;
/** Regions of a disk that may be more than this grow up to the largest size, … */
const fewRegions = 1 << 14;
/** … and beyond it for more than this. */
const maxRegions = 1 << 20;

export interface JournalSubject {
  readonly platform: Platform;
  readonly nodeName: string;
  /** Of the side file. */
  readonly path: string;
  /** What the image stores about the journal; absent for an image that has no place for it. */
  readonly tie: JournalTie | undefined;
  /** The persistent bitmaps as they are at this moment, and the length of the node in bytes. */
  snapshot(): { readonly bitmaps: readonly SavedBitmap[]; readonly diskBytes: number };
  /** Equal as long as nothing but writes has changed them. */
  stamp(): string;
  /** Makes all writes that are over durable. Errors: of I/O. */
  flush(): Promise<void>;
  /** Runs `act` while no write is in flight, and settles with its outcome. */
  quietly(act: () => Promise<void>): Promise<void>;
}

function regionBytesFor(diskBytes: number): number {
  let bytes = minRegionBytes;
  while (bytes < maxRegionBytes && diskBytes / bytes > fewRegions) bytes *= 2;
  while (diskBytes / bytes > maxRegions) bytes *= 2;
  return bytes;
}

export class BitmapJournal {
  /** One change of the file at a time. */
  private readonly changes = new Mutex();
  private readonly regionBytes: number;
  /** Bytes that the regions cover: longer disks need a checkpoint first. */
  private covered = 0;
  /** 1 for the regions that are durable. */
  private noted = new Uint8Array();
  /** How many writes to a region are in flight. */
  private inFlight = new Uint32Array();
  private wanted = new Set<number>();
  private noting: Promise<void> | undefined;
  /** A checkpoint is being made: writes wait. */
  private gate: Promise<void> | undefined;
  private stamp = '';
  private identity = '';
  /** Only an active journal holds writes up. */
  private state: 'starting' | 'active' | 'ended' = 'starting';
  /** There as long as the journal is active, and while it begins and ends. */
  private file: SideFile | undefined;

  /**
   * One that `start` has to be called on, in the same turn. `onEnd` is called once, when there is no journal any more and
   * nothing of it is open.
   */
  constructor(
    private readonly subject: JournalSubject,
    private readonly onEnd: () => void,
  ) {
    this.regionBytes = regionBytesFor(subject.snapshot().diskBytes);
  }

  /** Nothing will be saved any more; its file may still be open until `leave` returns. */
  get hasEnded(): boolean {
    return this.state === 'ended';
  }

  /**
   * Begins with a checkpoint, to which the image is tied when this returns. When the file cannot be made, the journal
   * ends, with a warning. Errors: of I/O, when not even what was there before could be disowned.
   */
  start(): Promise<void> {
    const { subject } = this;
    return this.changes.run(() =>
      subject.quietly(async () => {
        try {
          this.file = await SideFile.open(subject.platform.files, subject.path);
          await this.begin(this.file, subject.tie?.identity ?? '');
          this.state = 'active';
        } catch (error) {
          await this.end();
          await disown(subject);
          warn(subject, asBlockError(error));
        }
      }),
    );
  }

  private async begin(file: SideFile, former: string): Promise<void> {
    const { tie } = this.subject;
    const random = new Uint8Array(8);
    this.subject.platform.random.fill(random);
    this.identity = hex(random);
    await this.writeCheckpoint(file, { former });
    if (!tie) return;
    await tie.change(this.identity);
    // An image that was copied while it was tied to what was here before is not this image.
    if (former !== '') await this.writeCheckpoint(file);
  }

  /** Undefined: the write may begin at once. Each write that began is told to `finished`. Errors: of I/O. */
  admit(offset: number, bytes: number): Promise<void> | undefined {
    const end = offset + bytes;
    if (this.gate !== undefined || end > this.covered || this.state !== 'active')
      return this.admitLater(offset, bytes);
    const last = Math.floor((end - 1) / this.regionBytes);
    const first = Math.floor(offset / this.regionBytes);
    for (let region = first; region <= last; region++) {
      if (this.noted[region] === 0) return this.admitLater(offset, bytes);
    }
    for (let region = first; region <= last; region++) this.inFlight[region]!++;
    return undefined;
  }

  private async admitLater(offset: number, bytes: number): Promise<void> {
    while (this.state === 'active') {
      if (this.gate !== undefined) await this.gate;
      else if (offset + bytes > this.covered) await this.checkpoint(offset + bytes);
      else {
        const first = Math.floor(offset / this.regionBytes);
        const last = Math.floor((offset + bytes - 1) / this.regionBytes);
        const missing: number[] = [];
        for (let region = first; region <= last; region++) {
          if (this.noted[region] === 0) missing.push(region);
        }
        if (missing.length === 0) {
          for (let region = first; region <= last; region++) this.inFlight[region]!++;
          return;
        }
        await this.note(missing);
      }
    }
  }

  /** A write is over, and the bitmaps that record know of it. */
  finished(offset: number, bytes: number): void {
    const last = Math.min(this.inFlight.length - 1, Math.floor((offset + bytes - 1) / this.regionBytes));
    for (let region = Math.floor(offset / this.regionBytes); region <= last; region++) {
      if (this.inFlight[region]! > 0) this.inFlight[region]!--; // region ≤ last
    }
  }

  private note(regions: readonly number[]): Promise<void> {
    for (const region of regions) this.wanted.add(region);
    this.noting ??= this.changes.run(async () => {
      this.noting = undefined;
      const taken = [...this.wanted].filter((region) => this.noted[region] === 0);
      this.wanted.clear();
      if (this.state === 'ended' || taken.length === 0) return;
      await this.orGiveUp(async (file) => {
        await file.addRegions(taken);
        for (const region of taken) this.noted[region] = 1;
      });
    });
    return this.noting;
  }

  /** Makes what changed by other means than writes durable. Does nothing when nothing did. Errors: of I/O. */
  save(): Promise<void> {
    return this.checkpoint(0);
  }

  private checkpoint(toCover: number): Promise<void> {
    return this.changes.run(async () => {
      if (this.state === 'ended') return;
      if (this.stamp === this.subject.stamp() && toCover <= this.covered) return;
      const { promise, resolve: open } = createDeferred();
      this.gate = promise;
      try {
        await this.orGiveUp((file) => this.writeCheckpoint(file, { toCover }));
      } finally {
        this.gate = undefined;
        open();
      }
    });
  }

  private async writeCheckpoint(file: SideFile, { former = '', toCover = 0 } = {}): Promise<void> {
    const { subject, regionBytes, identity } = this;
    const { bitmaps, diskBytes } = subject.snapshot();
    const stamp = subject.stamp();
    const covered = roundUp(Math.max(diskBytes, toCover, this.covered), regionBytes);
    const noted = new Uint8Array(covered / regionBytes);
    const inFlight = new Uint32Array(noted.length);
    inFlight.set(this.inFlight);
    const regions: number[] = [];
    for (const [region, count] of inFlight.entries()) {
      if (count === 0) continue;
      regions.push(region);
      noted[region] = 1;
    }
    // Writes may end in the meantime.
    this.inFlight = inFlight;
    await subject.flush();
    await file.checkpoint({
      ...{ state: 'in-use', identity, former, regionBytes, bitmaps, regions },
      diskBytes: covered,
      imageTime: '',
    });
    Object.assign(this, { stamp, noted, covered });
  }

  private async orGiveUp(act: (file: SideFile) => Promise<void>): Promise<void> {
    try {
      await act(this.file!); // it has begun, and has not ended
    } catch (error) {
      warn(this.subject, asBlockError(error));
      await disown(this.subject);
      await this.end();
    }
  }

  private async end(): Promise<void> {
    this.state = 'ended';
    try {
      await this.file?.close();
    } finally {
      this.onEnd();
    }
  }

  /** There is nothing to keep any more, or it is stored in the image: the file goes. Errors: of I/O. */
  stop(): Promise<void> {
    return this.changes.run(async () => {
      if (this.state === 'ended') return;
      await disown(this.subject);
      await this.end();
    });
  }

  /**
   * The process goes, or forgets the node, with bitmaps that could not be stored: the journal will be read again. Nothing
   * of it is open when this returns.
   */
  leave(): Promise<void> {
    return this.changes.run(async () => {
      if (this.state !== 'ended') await this.end();
    });
  }
}

/** Nobody will believe the journal any more. Errors: of I/O. */
async function disown({ platform, path, tie }: JournalSubject): Promise<void> {
  await tie?.change(undefined);
  try {
    await platform.files.unlink(path);
  } catch (error) {
    const isThere = asBlockError(error).errno !== 'ENOENT';
    if (isThere && !tie && (await readSideFile(platform.files, path))) throw error;
  }
}

function warn({ platform, nodeName }: JournalSubject, error: BlockError): void {
  platform.console.stderr(
    `Persistent bitmaps of node '${nodeName}' would not survive a crash, their journal cannot be written: ${error.message}`,
  );
}
