/**
 * A file without a name for old data that memory has no room for (specification: jobs, section 7).
 *
 * It is made of slots of 4 KiB. Data goes to slots that were given back before, newest first, then behind the end, up to a
 * limit; it need not be in one place. A slot that somebody is reading is not given to anybody else before that is over.
 *
 * A file system without room, or one that fails, is no error: there is just no more room here (`isFull`) until something is
 * given back. Nothing is ever flushed: the data is worth something to this process alone, and the file is gone with it. But the
 * device gets it soon: gigabytes that the host still has to write would make every writer of the host wait, guests among them.
 */
import { BlockError } from '../base/errors.ts';
import { roundDown } from '../base/sectors.ts';
import type { Files, HostFile, Platform } from '../platform/platform.ts';

const slotBytes = 4 << 10;

/** Smaller pieces go out together, past whoever makes a single write in place: for larger ones that is the quicker way. */
const gatheredBytes = 32 << 10;

/** A device is told of that much at once. */
const writebackBytes = 8 << 20;

/** Slots in a row; the last one may hold less than it could. */
interface Run {
  readonly offset: number;
  bytes: number;
}

/** Where something is. */
export class SpillSlots {
  private loads = 0;
  private isReleased = false;

  constructor(
    private readonly file: SpillFile,
    private readonly runs: readonly Run[],
  ) {}

  /** Reads from `start` of it on. Errors: of I/O. */
  async load(start: number, into: Uint8Array): Promise<void> {
    this.loads++;
    try {
      await this.file.load(this.runs, start, into);
    } finally {
      this.loads--;
      if (this.isReleased && this.loads === 0) this.file.giveBack(this.runs);
    }
  }

  /** Nobody will load it from now on. */
  release(): void {
    this.isReleased = true;
    if (this.loads === 0) this.file.giveBack(this.runs);
  }
}

export interface SpillOptions {
  /** A file that is made for it, or a directory to make one in. */
  path: string;
  maxBytes: number;
}

export class SpillFile {
  private readonly freeSlots: number[] = [];
  private endSlot = 0;
  private readonly maxSlots: number;
  private usedSlots = 0;
  private hasFailed = false;
  /** Written in a row, and not yet told to the device. */
  private unwritten = { start: 0, end: 0 };

  private constructor(
    private readonly file: HostFile,
    readonly maxBytes: number,
    private readonly unlink: (() => Promise<void>) | undefined,
  ) {
    this.maxSlots = roundDown(maxBytes, slotBytes) / slotBytes;
  }

  /** Errors: BlockError with what could not be made. */
  static async open(platform: Platform, { path, maxBytes }: SpillOptions): Promise<SpillFile> {
    const { files } = platform;
    const filename = await filenameFor(platform, path);
    let file: HostFile;
    try {
      file = await files.open(filename, { write: true, create: 'exclusive' });
    } catch (error) {
      if (error instanceof BlockError) throw error.within(`Could not create spill file '${filename}'`);
      throw error;
    }
    const isUnlinked = await tryUnlink(files, filename);
    const unlink = isUnlinked ? undefined : () => tryUnlink(files, filename).then(() => {});
    return new SpillFile(file, maxBytes, unlink);
  }

  get usedBytes(): number {
    return this.usedSlots * slotBytes;
  }

  /** Nothing can be stored before something is given back. */
  get isFull(): boolean {
    return this.hasFailed || (this.freeSlots.length === 0 && this.endSlot >= this.maxSlots);
  }

  /** Keeps as many of the first pieces as there is room for: where each of those is. */
  async store(pieces: readonly Uint8Array[]): Promise<SpillSlots[]> {
    const stored: Run[][] = [];
    for (const { length } of pieces) {
      const slots = this.take(slotsOf(length));
      if (!slots) break;
      stored.push(runsOf(slots, length));
    }
    try {
      await this.write(pieces, stored);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      for (const runs of stored.toReversed()) this.giveBack(runs);
      this.hasFailed = true;
      return [];
    }
    return stored.map((runs) => new SpillSlots(this, runs));
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.unlink?.();
  }

  /** What lies in a row goes out in one write. */
  private async write(pieces: readonly Uint8Array[], stored: readonly Run[][]): Promise<void> {
    let row: Uint8Array[] = [];
    let start = 0;
    let end = 0;
    for (const [index, runs] of stored.entries()) {
      let done = 0;
      for (const { offset, bytes } of runs) {
        if (offset !== end || row.length === 0) {
          await this.writeRow(start, row);
          row = [];
          start = offset;
        }
        row.push(pieces[index]!.subarray(done, done + bytes)); // each piece that is stored has its runs
        done += bytes;
        end = offset + bytes;
      }
    }
    await this.writeRow(start, row);
  }

  private async writeRow(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    if (buffers.length === 0) return;
    const { file } = this;
    const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
    if (file.writeAll && bytes / buffers.length < gatheredBytes) await file.writeAll(offset, buffers);
    else await Promise.all(placesOf(offset, buffers).map(([at, buffer]) => file.write(at, buffer)));
    this.noteWritten(offset, offset + bytes);
  }

  private noteWritten(start: number, end: number): void {
    const { unwritten } = this;
    const adjoins = start <= unwritten.end && end >= unwritten.start;
    if (adjoins && unwritten.end - unwritten.start < writebackBytes) {
      unwritten.start = Math.min(unwritten.start, start);
      unwritten.end = Math.max(unwritten.end, end);
      return;
    }
    const bytes = unwritten.end - unwritten.start;
    if (bytes > 0) this.file.startWriteback?.(unwritten.start, bytes);
    this.unwritten = { start, end };
  }

  /** For those who were given slots. */
  async load(runs: readonly Run[], start: number, into: Uint8Array): Promise<void> {
    const end = start + into.length;
    let at = 0;
    for (const { offset, bytes } of runs) {
      const from = Math.max(at, start);
      const to = Math.min(at + bytes, end);
      if (from < to) await this.file.read(offset + from - at, into.subarray(from - start, to - start));
      at += bytes;
    }
  }

  private take(count: number): number[] | undefined {
    if (this.freeSlots.length + (this.maxSlots - this.endSlot) < count) {
      // What is left is too little for this, and so for everybody else soon.
      this.hasFailed = true;
      return undefined;
    }
    const slots: number[] = [];
    while (slots.length < count) slots.push(this.freeSlots.pop() ?? this.endSlot++);
    this.usedSlots += count;
    return slots;
  }

  /** For those who were given slots. In reverse: they are taken again in their order, which makes long runs. */
  giveBack(runs: readonly Run[]): void {
    for (const { offset, bytes } of runs.toReversed()) {
      const first = offset / slotBytes;
      for (let slot = first + slotsOf(bytes) - 1; slot >= first; slot--) this.freeSlots.push(slot);
      this.usedSlots -= slotsOf(bytes);
    }
    this.hasFailed = false;
  }
}

function placesOf(offset: number, buffers: readonly Uint8Array[]): [number, Uint8Array][] {
  let at = offset;
  return buffers.map((buffer) => {
    const place = at;
    at += buffer.length;
    return [place, buffer];
  });
}

function slotsOf(bytes: number): number {
  return Math.ceil(bytes / slotBytes);
}

function runsOf(slots: readonly number[], bytes: number): Run[] {
  const runs: Run[] = [];
  let run: Run | undefined;
  let left = bytes;
  for (const slot of slots) {
    const offset = slot * slotBytes;
    const part = Math.min(left, slotBytes);
    left -= part;
    if (run && run.offset + run.bytes === offset) {
      run.bytes += part;
    } else {
      run = { offset, bytes: part };
      runs.push(run);
    }
  }
  return runs;
}

async function filenameFor({ files, random }: Platform, path: string): Promise<string> {
  try {
    if ((await files.stat(path)).type !== 'directory') return path;
  } catch (error) {
    if (error instanceof BlockError) return path;
    throw error;
  }
  const name = Array.from({ length: 8 }, () => random.below(36).toString(36)).join('');
  return `${path}/blockyard-spill-${name}`;
}

/** Whether it is gone: some systems keep the names of open files. */
async function tryUnlink(files: Files, filename: string): Promise<boolean> {
  try {
    await files.unlink(filename);
    return true;
  } catch (error) {
    if (error instanceof BlockError) return false;
    throw error;
  }
}
