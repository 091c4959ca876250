/**
 * Files of a simulation: every operation is announced, may fail by rule, takes its time, and only then has its effect.
 *
 * A write or another change is volatile until a flush (journal.ts). After a crash no operation ever settles. What a
 * file system answers from memory (size, status, extents, locks) takes no time. `direct` makes no difference.
 */
import { assert } from '../../base/assert.ts';
import { concatenated } from '../../base/concatenated.ts';
import { BlockError } from '../../base/errors.ts';
import type { SparseBytes } from '../../base/sparse-bytes.ts';
import type {
  ByteLocks,
  FileOpenOptions,
  FileStatus,
  Files,
  HostDevice,
  HostExtent,
  HostFile,
} from '../platform.ts';
import type { IoOperation, IoType } from './faults.ts';
import type { Journal } from './journal.ts';
import type { Change, FileContent, SimStorage } from './storage.ts';

/** What files need of the simulation they are in. */
export interface FileWorld {
  readonly storage: SimStorage;
  readonly journal: Journal | undefined;
  readonly capacityBytes: number;
  readonly hasFallocate: boolean;
  readonly hasLocks: boolean;
  readonly crashed: boolean;
  /** Whether the data of a read is in memory; another answer for each. */
  isCached(): boolean;
  /** Announces an operation and settles when its time is over; rejects when it is to fail. */
  perform(operation: Omit<IoOperation, 'number' | 'timeNs'>): Promise<void>;
}

/** Byte locks by file and byte: who holds one. */
type LockTable = Map<number, Map<number, Set<SimFile>>>;

export class SimFiles implements Files {
  private readonly locks: LockTable = new Map();
  private readonly opened = new Set<SimFile>();

  constructor(private readonly world: FileWorld) {}

  /** Paths of the files that nobody has closed. */
  get openPaths(): string[] {
    return [...this.opened].map(({ path }) => path);
  }

  async open(path: string, options: FileOpenOptions): Promise<HostFile> {
    const { storage, journal } = this.world;
    await this.world.perform({ type: 'open', path, offset: 0, bytes: 0, forWriting: options.write });
    let content = storage.find(path);
    if (content && options.create === 'exclusive') throw new BlockError('EEXIST');
    if (!content) {
      if (options.create === undefined) throw new BlockError('ENOENT');
      content = storage.create(path);
      journal?.add({ type: 'create', path, inode: content.inode });
    }
    const file: SimFile = new SimFile(this.world, this.locks, path, content, options.write, () => {
      this.opened.delete(file);
    });
    this.opened.add(file);
    if (options.create === 'truncate') file.changeNow({ type: 'truncate', size: 0 });
    return file;
  }

  async stat(path: string): Promise<FileStatus> {
    return statusOf(this.world.storage.get(path));
  }

  async unlink(path: string): Promise<void> {
    const { storage, journal } = this.world;
    await this.world.perform({ type: 'unlink', path, offset: 0, bytes: 0 });
    storage.unlink(path);
    journal?.add({ type: 'unlink', path });
  }

  async identify(path: string): Promise<string> {
    return `sim:${this.world.storage.get(path).inode}`;
  }
}

export function never(): Promise<never> {
  return new Promise(() => {});
}

function statusOf({ size, bytes, device }: FileContent): FileStatus {
  if (device !== undefined) return { type: 'block-device', size: 0, allocatedBytes: 0 };
  return { type: 'file', size, allocatedBytes: bytes.allocatedBytes };
}

/** How much of a write from its beginning on fits into `room` more bytes. */
function fittingBytes(content: SparseBytes, offset: number, bytes: number, room: number): number {
  let fits = 0;
  for (let left = room; fits < bytes; ) {
    const part = Math.min(bytes - fits, content.pageBytes - ((offset + fits) % content.pageBytes));
    left -= content.missingBytes(offset + fits, part);
    if (left < 0) break;
    fits += part;
  }
  return fits;
}

class SimFile implements HostFile {
  readonly requestAlignment = 1;
  readonly locks: ByteLocks | undefined;
  readonly device: HostDevice | undefined;
  private closed = false;

  constructor(
    private readonly world: FileWorld,
    private readonly lockTable: LockTable,
    readonly path: string,
    private readonly content: FileContent,
    private readonly writable: boolean,
    private readonly onClose: () => void,
  ) {
    this.locks = world.hasLocks ? this.makeLocks() : undefined;
    const { device } = content;
    if (device !== undefined) {
      // The drive's disc may have changed since.
      this.device = { isWriteProtected: () => false, driveStatus: () => content.device ?? device };
    }
  }

  private perform(type: IoType, offset = 0, bytes = 0): Promise<void> {
    assert(!this.closed, `${type} on ${this.path} after it was closed`);
    return this.world.perform({ type, path: this.path, offset, bytes });
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.perform('read', offset, buffer.length);
    this.content.bytes.read(offset, buffer);
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    if (!this.world.isCached()) return false;
    this.content.bytes.read(offset, buffer);
    return true;
  }

  write(offset: number, buffer: Uint8Array): Promise<void> {
    const data = this.world.journal ? buffer.slice() : buffer;
    return this.change('write', offset, buffer.length, { type: 'write', offset, data });
  }

  writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.write(offset, concatenated(buffers));
  }

  truncate(size: number): Promise<void> {
    return this.change('truncate', size, 0, { type: 'truncate', size });
  }

  async zero(offset: number, bytes: number, { unmap }: { unmap: boolean }): Promise<boolean> {
    if (!this.world.hasFallocate) return false;
    await this.change('zero', offset, bytes, { type: 'zero', offset, bytes, takesSpace: !unmap });
    if (!unmap) this.keepReserved(offset, bytes);
    return true;
  }

  async discard(offset: number, bytes: number): Promise<boolean> {
    if (!this.world.hasFallocate) return false;
    await this.change('discard', offset, bytes, { type: 'discard', offset, bytes });
    return true;
  }

  async allocate(offset: number, bytes: number): Promise<boolean> {
    if (!this.world.hasFallocate || this.device) return false;
    await this.change('allocate', offset, bytes, { type: 'allocate', offset, bytes });
    this.keepReserved(offset, bytes);
    return true;
  }

  private async change(type: IoType, offset: number, bytes: number, change: Change): Promise<void> {
    if (!this.writable) throw new BlockError('EBADF');
    // What comes after the crash must not get into the journal.
    if (this.world.crashed) return never();
    const { journal } = this.world;
    const id = journal?.issue(this.content.inode, change);
    try {
      await this.perform(type, offset, bytes);
      if (this.device) this.checkInside(change);
      else this.checkCapacity(change);
    } catch (error) {
      if (id !== undefined) journal?.add({ type: 'fail', id });
      throw error;
    }
    this.content.apply(change);
    if (id !== undefined) journal?.add({ type: 'complete', id });
  }

  /** A change that belongs to another operation and takes no time of its own. */
  changeNow(change: Change): void {
    const { journal } = this.world;
    const id = journal?.issue(this.content.inode, change);
    this.content.apply(change);
    if (id !== undefined) journal?.add({ type: 'complete', id });
  }

  /** Only where it is counted: whoever reserves a lot should not take as much memory. */
  private keepReserved(offset: number, bytes: number): void {
    if (this.world.capacityBytes !== Number.POSITIVE_INFINITY) this.content.bytes.reserve(offset, bytes);
  }

  /** Of a write that does not fit, as much is done as there is room for. */
  private checkCapacity(change: Change): void {
    const { storage, capacityBytes } = this.world;
    if (capacityBytes === Number.POSITIVE_INFINITY) return;
    const { bytes: content } = this.content;
    const room = capacityBytes - storage.allocatedBytes;
    if (change.type === 'write') {
      const { offset, data } = change;
      if (content.missingBytes(offset, data.length) <= room) return;
      const fits = fittingBytes(content, offset, data.length, room);
      if (fits > 0) this.changeNow({ type: 'write', offset, data: data.slice(0, fits) });
      throw new BlockError('ENOSPC');
    }
    const takesSpace = change.type === 'allocate' || (change.type === 'zero' && change.takesSpace === true);
    if (takesSpace && content.missingBytes(change.offset, change.bytes) > room)
      throw new BlockError('ENOSPC');
  }

  /** What a device says to a change that would make it longer or shorter. */
  private checkInside(change: Change): void {
    if (change.type === 'truncate') throw new BlockError('EINVAL');
    const bytes = change.type === 'write' ? change.data.length : change.bytes;
    if (change.offset + bytes > this.content.size)
      throw new BlockError(change.type === 'write' ? 'ENOSPC' : 'EINVAL');
  }

  async flush(): Promise<void> {
    if (this.world.crashed) return never();
    const { journal } = this.world;
    const id = journal?.issueFlush(this.content.inode);
    await this.perform('flush');
    if (id !== undefined) journal?.add({ type: 'flush-complete', id });
  }

  async getSize(): Promise<number> {
    return this.content.size;
  }

  async status(): Promise<FileStatus> {
    return statusOf(this.content);
  }

  async extent(offset: number): Promise<HostExtent> {
    const { bytes, size } = this.content;
    assert(offset < size, `extent at ${offset} of ${size} bytes`);
    if (this.device) return { type: 'data', bytes: size - offset };
    const run = bytes.run(offset, size - offset);
    return { type: run.present ? 'data' : 'hole', bytes: run.bytes };
  }

  private makeLocks(): ByteLocks {
    const holders = (offset: number): Set<SimFile> => {
      const { inode } = this.content;
      let byByte = this.lockTable.get(inode);
      if (!byByte) this.lockTable.set(inode, (byByte = new Map()));
      let set = byByte.get(offset);
      if (!set) byByte.set(offset, (set = new Set()));
      return set;
    };
    return {
      lockShared: (offset) => void holders(offset).add(this),
      unlock: (offset) => void holders(offset).delete(this),
      isHeldByOther: (offset) => [...holders(offset)].some((holder) => holder !== this),
    };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.onClose();
    for (const holders of this.lockTable.get(this.content.inode)?.values() ?? []) holders.delete(this);
  }
}
