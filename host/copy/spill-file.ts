/**
 * A file without a name for old data that memory has no room for (specification: jobs, section 7).
 *
 * It is made of slots of 4 KiB. Data goes to slots that were given back before, newest first, then behind the end, up to a
 * limit; it need not be in one place. A slot that somebody is reading is not given to anybody else before that is over.
 *
 * A file system without room, or one that fails, is no error: there is just no more room here (`isFull`) until something is
 * given back. Nothing is ever flushed: the data is worth something to this process alone, and the file is gone with it.
 */
import { BlockError } from '../base/errors.ts';
import { roundDown } from '../base/sectors.ts';
import type { Files, HostFile, Platform } from '../platform/platform.ts';

const slotBytes = 4 << 10;

interface Run {
  readonly offset: number;
  readonly bytes: number;
}

/** Where something is. */
export interface SpillSlots {
  /** Reads from `start` of it on. Errors: of I/O. */
  load(start: number, into: Uint8Array): Promise<void>;
  /** Nobody will load it from now on. */
  release(): void;
}

interface SpillOptions {
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

  /** Undefined: there is no room. */
  async store(data: Uint8Array): Promise<SpillSlots | undefined> {
    const slots = this.take(Math.ceil(data.length / slotBytes));
    if (!slots) return undefined;
    const runs = runsOf(slots, data.length);
    try {
      let done = 0;
      for (const { offset, bytes } of runs) {
        await this.file.write(offset, data.subarray(done, done + bytes));
        done += bytes;
      }
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.giveBack(slots);
      this.hasFailed = true;
      return undefined;
    }
    return this.stored(slots, runs);
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.unlink?.();
  }

  private stored(slots: readonly number[], runs: readonly Run[]): SpillSlots {
    let loads = 0;
    let isReleased = false;
    return {
      load: async (start, into) => {
        loads++;
        try {
          await this.load(runs, start, into);
        } finally {
          loads--;
          if (isReleased && loads === 0) this.giveBack(slots);
        }
      },
      release: () => {
        isReleased = true;
        if (loads === 0) this.giveBack(slots);
      },
    };
  }

  private async load(runs: readonly Run[], start: number, into: Uint8Array): Promise<void> {
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

  /** In reverse: they are taken again in their order, which makes long runs. */
  private giveBack(slots: readonly number[]): void {
    for (const slot of slots.toReversed()) this.freeSlots.push(slot);
    this.usedSlots -= slots.length;
    this.hasFailed = false;
  }
}

function runsOf(slots: readonly number[], bytes: number): Run[] {
  const runs: Run[] = [];
  let left = bytes;
  for (let first = 0; first < slots.length; ) {
    let next = first + 1;
    while (next < slots.length && slots[next] === slots[next - 1]! + 1) next++; // both are below the length
    const run = { offset: slots[first]! * slotBytes, bytes: Math.min(left, (next - first) * slotBytes) };
    runs.push(run);
    left -= run.bytes;
    first = next;
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
