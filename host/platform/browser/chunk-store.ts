/**
 * Chunks of remote files in the origin private file system, kept across page loads: a file for each remote file in one
 * state, named by a hash, so that a changed one finds nothing of the old.
 *
 * There is a bound on the whole, and the last quarter of what the browser grants is left to disks: the files that were
 * opened longest ago are removed for new ones, and all of them when a disk needs the space. A remote file belongs to the
 * worker that opened it first, until that ends; others go without. A file that has no place stops being added to.
 */
import type { ChunkStore } from '../platform.ts';
import { ChunkFile, recordBytes } from './chunk-file.ts';
import { PathLock } from './path-lock.ts';
import { rootDirectory } from './paths.ts';

const folderName = 'blockyard-chunks';
/** Of the format: others are not found. */
const version = 1;
/** Space is looked at again when so much has been added. */
const stepBytes = 16 << 20;

interface Stored {
  name: string;
  bytes: number;
  /** Milliseconds. */
  used: number;
}

export class OpfsChunkStore implements ChunkStore {
  /** By remote file; undefined: nothing is kept of it, by this worker. */
  private readonly files = new Map<string, Promise<ChunkFile | undefined>>();
  /** What may be added before space is looked at again. */
  private roomBytes = 0;
  private isFull = false;
  private looking: Promise<void> | undefined;

  /** `maxBytes`: of all files together, and up to 16 MiB more for each other worker that adds to them just now. */
  constructor(private readonly maxBytes: number) {}

  async get(file: string, chunk: number): Promise<Uint8Array | undefined> {
    return (await this.open(file))?.get(chunk);
  }

  async put(file: string, chunk: number, bytes: Uint8Array): Promise<void> {
    const stored = await this.open(file);
    if (!stored || stored.has(chunk)) return;
    if (stored.mustGrow && !(await this.admit())) return;
    if (stored.has(chunk)) return; // since then
    try {
      stored.put(chunk, bytes);
    } catch (error) {
      this.stopGrowing();
      throw error;
    }
  }

  /** Of all that is kept, in bytes. */
  async getSize(): Promise<number> {
    return totalOf(await list(await openFolder()));
  }

  /** Forgets everything but what other workers use. */
  async clear(): Promise<void> {
    const stored = [...this.files.values()];
    this.files.clear();
    await removeAll(stored);
    this.roomBytes = 0;
    this.isFull = false;
  }

  /** Gives the space back for good. False: there was nothing to give. */
  async giveWay(): Promise<boolean> {
    this.stopGrowing();
    for (const file of this.files.keys()) this.files.set(file, this.closed(file));
    return removeAll([...this.files.values()]).then(
      (bytes) => bytes > 0,
      () => false,
    );
  }

  private stopGrowing(): void {
    this.roomBytes = 0;
    this.isFull = true;
  }

  private open(file: string): Promise<ChunkFile | undefined> {
    let stored = this.files.get(file);
    if (!stored) {
      // Why it cannot be had makes no difference.
      stored = openStored(file).catch(() => undefined);
      this.files.set(file, stored);
    }
    return stored;
  }

  private async closed(file: string): Promise<undefined> {
    await (await this.files.get(file))?.close();
  }

  /** Whether one more record may be added. */
  private async admit(): Promise<boolean> {
    while (this.roomBytes < recordBytes && !this.isFull) {
      this.looking ??= this.findRoom().finally(() => {
        this.looking = undefined;
      });
      await this.looking;
    }
    if (this.roomBytes < recordBytes) return false;
    this.roomBytes -= recordBytes;
    return true;
  }

  private async findRoom(): Promise<void> {
    const folder = await openFolder();
    const stored = await list(folder);
    const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
    const step = Math.min(stepBytes, this.maxBytes / 4);
    let free = Math.min(this.maxBytes - totalOf(stored), (quota / 4) * 3 - usage);
    for (const oldest of stored.sort((a, b) => a.used - b.used)) {
      if (free >= step) break;
      if (await remove(folder, oldest.name, 0)) free += oldest.bytes;
    }
    this.roomBytes = Math.min(free, step);
    this.isFull = this.roomBytes < recordBytes;
  }
}

/** Closes those, and removes all that nobody has open. Gives how many bytes that were. */
async function removeAll(open: readonly Promise<ChunkFile | undefined>[]): Promise<number> {
  for (const stored of open) await (await stored)?.close();
  const folder = await openFolder();
  let removed = 0;
  // A worker that is just ending may still have one.
  const removals = (await list(folder)).map(async ({ name, bytes }) => {
    if (await remove(folder, name)) removed += bytes;
  });
  await Promise.all(removals);
  return removed;
}

async function openFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await rootDirectory();
  return root.getDirectoryHandle(folderName, { create: true });
}

async function openStored(file: string): Promise<ChunkFile> {
  const text = new TextEncoder().encode(`${version} ${file}`);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', text));
  const name = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return ChunkFile.open(await openFolder(), name);
}

async function list(folder: FileSystemDirectoryHandle): Promise<Stored[]> {
  const found: Stored[] = [];
  for await (const handle of folder.values()) {
    // Another worker may just have removed it.
    const file = await (handle as FileSystemFileHandle).getFile().catch(() => undefined);
    if (file) found.push({ name: handle.name, bytes: file.size, used: file.lastModified });
  }
  return found;
}

function totalOf(stored: readonly Stored[]): number {
  return stored.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** False: somebody uses it. */
async function remove(folder: FileSystemDirectoryHandle, name: string, patience?: number): Promise<boolean> {
  const lock = new PathLock(`/${folder.name}/${name}`);
  try {
    await lock.acquire('exclusive', patience);
    await folder.removeEntry(name);
    return true;
  } catch {
    return false;
  } finally {
    await lock.unlock();
  }
}
