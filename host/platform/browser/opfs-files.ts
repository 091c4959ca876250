/**
 * Files in the origin private file system, which outlives the page and belongs to its origin alone.
 *
 * Requests are made in place, by the calling thread: a 4 KiB one takes microseconds. A file has no holes, so that what it
 * could reach counts against the quota from the start, and nothing is given back before it ends.
 */
import { BlockError } from '../../base/errors.ts';
import { settled } from '../../base/settled.ts';
import type { FileOpenOptions, FileStatus, Files, HostExtent, HostFile } from '../platform.ts';
import { fromDomException } from './errors.ts';
import type { OpfsFileHandle, SyncAccessHandle } from './opfs-types.ts';
import { canonicalPath, findFile, removeFile } from './paths.ts';
import { Quota } from './quota.ts';
import { SharedFile } from './shared-file.ts';

export class OpfsFiles implements Files {
  private readonly shared = new Map<string, SharedFile>();
  private readonly quota: Quota;

  /** `makeRoom`: as that of Quota. */
  constructor(makeRoom?: () => Promise<boolean>) {
    this.quota = new Quota(makeRoom);
  }

  async open(path: string, { write, create, direct }: FileOpenOptions): Promise<HostFile> {
    // As file systems without it say.
    if (direct) throw new BlockError('EINVAL');
    const name = canonicalPath(path);
    let shared = this.shared.get(name);
    if (!shared) this.shared.set(name, (shared = new SharedFile(name)));
    shared.references++;
    const file = new OpfsFile(shared, this.quota, write, () => this.release(shared));
    try {
      await shared.join(file, write, () => find(path, create));
      if (create === 'truncate') await file.truncate(0);
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  }

  async stat(path: string): Promise<FileStatus> {
    const handle = await findFile(path, false).catch((error: unknown) => {
      if (error instanceof BlockError && error.errno === 'EISDIR') return undefined;
      throw error;
    });
    if (!handle) return { type: 'directory', size: 0, allocatedBytes: 0 };
    try {
      const { size, lastModified } = await handle.getFile();
      return statusOf(size, lastModified);
    } catch (error) {
      throw fromDomException(error);
    }
  }

  async unlink(path: string): Promise<void> {
    await removeFile(path);
    this.quota.forget();
  }

  async identify(path: string): Promise<string> {
    await this.stat(path);
    return `opfs:${canonicalPath(path)}`;
  }

  private release(shared: SharedFile): void {
    if (--shared.references === 0) this.shared.delete(shared.path);
  }
}

async function find(path: string, create: FileOpenOptions['create']): Promise<OpfsFileHandle> {
  if (create !== 'exclusive') return findFile(path, create !== undefined);
  const exists = await findFile(path, false).then(
    () => true,
    (error: unknown) => {
      if (error instanceof BlockError && error.errno === 'ENOENT') return false;
      throw error;
    },
  );
  if (exists) throw new BlockError('EEXIST');
  return findFile(path, true);
}

function statusOf(size: number, modifiedMs: number): FileStatus {
  return { type: 'file', size, allocatedBytes: size, modified: String(modifiedMs) };
}

/** What is read without giving anybody else a turn: it takes 50 µs. */
const mostBytesNow = 256 << 10;

/** What lies past the end reads as zeros. */
function readFully(handle: SyncAccessHandle, offset: number, buffer: Uint8Array): void {
  let filled = 0;
  while (filled < buffer.length) {
    const count = handle.read(filled === 0 ? buffer : buffer.subarray(filled), { at: offset + filled });
    if (count === 0) break;
    filled += count;
  }
  if (filled < buffer.length) buffer.fill(0, filled);
}

function writeFully(handle: SyncAccessHandle, offset: number, buffer: Uint8Array): void {
  let written = 0;
  while (written < buffer.length) {
    const count = handle.write(written === 0 ? buffer : buffer.subarray(written), { at: offset + written });
    if (count === 0) throw new BlockError('ENOSPC');
    written += count;
  }
}

class OpfsFile implements HostFile {
  readonly requestAlignment = 1;
  readonly locks;
  private closed = false;

  constructor(
    private readonly shared: SharedFile,
    private readonly quota: Quota,
    private readonly writable: boolean,
    private readonly onClose: () => void,
  ) {
    this.locks = shared.byteLocks.of(this);
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.perform((handle) => readFully(handle, offset, buffer));
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    const handle = this.shared.handleNow;
    if (this.closed || !handle || buffer.length > mostBytesNow) return false;
    try {
      readFully(handle, offset, buffer);
      return true;
    } catch (error) {
      // The error is for `read` to tell.
      fromDomException(error);
      return false;
    }
  }

  write(offset: number, buffer: Uint8Array): Promise<void> {
    return this.writeNow(offset, buffer) ? settled : this.writeAdmitted(offset, buffer);
  }

  /** Where the file need not grow. False: it is not written, or in part. */
  private writeNow(offset: number, buffer: Uint8Array): boolean {
    const { handleNow: handle, knownBytes } = this.shared;
    if (this.closed || !this.writable || !handle || offset + buffer.length > knownBytes) return false;
    try {
      writeFully(handle, offset, buffer);
      return true;
    } catch (error) {
      // The error is for `writeAdmitted` to tell, when it is still there.
      fromDomException(error);
      return false;
    }
  }

  private async writeAdmitted(offset: number, buffer: Uint8Array): Promise<void> {
    const end = offset + buffer.length;
    await this.admit(end);
    await this.perform((handle) => {
      writeFully(handle, offset, buffer);
      this.shared.knownBytes = Math.max(this.shared.knownBytes, end);
    });
  }

  flush(): Promise<void> {
    return this.perform((handle) => handle.flush());
  }

  getSize(): Promise<number> {
    return this.perform((handle) => {
      this.shared.knownBytes = handle.getSize();
      return this.shared.knownBytes;
    });
  }

  async truncate(size: number): Promise<void> {
    const before = await this.admit(size);
    await this.perform((handle) => {
      this.shared.knownBytes = 0;
      handle.truncate(size);
    });
    if (size < before) this.quota.forget();
  }

  async status(): Promise<FileStatus> {
    const size = await this.getSize();
    try {
      return statusOf(size, await this.shared.lastModified());
    } catch (error) {
      throw fromDomException(error);
    }
  }

  async extent(offset: number): Promise<HostExtent> {
    return { type: 'data', bytes: (await this.getSize()) - offset };
  }

  /** Only past the end: what is new reads as zeros. */
  async zero(offset: number, bytes: number): Promise<boolean> {
    if (offset < (await this.getSize())) return false;
    await this.admit(offset + bytes);
    return this.perform((handle) => {
      // Another request may have come first.
      if (offset < handle.getSize()) return false;
      handle.truncate(offset + bytes);
      return true;
    });
  }

  async discard(): Promise<boolean> {
    return false;
  }

  async allocate(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.shared.leave(this);
    this.onClose();
  }

  /** Lets the file get as long as `end`. Its length now. Errors: ENOSPC, and EBADF when it is not open for writing. */
  private async admit(end: number): Promise<number> {
    if (!this.writable) throw new BlockError('EBADF');
    const size = await this.getSize();
    await this.quota.admit(end - size);
    return size;
  }

  private async perform<T>(request: (handle: SyncAccessHandle) => T, isLast = false): Promise<T> {
    if (this.closed) throw new BlockError('EBADF');
    const handle = this.shared.access();
    try {
      return request(handle instanceof Promise ? await handle : handle);
    } catch (error) {
      const failure = fromDomException(error);
      if (failure.errno !== 'ENOSPC') throw failure;
      this.quota.forget();
      if (isLast || !(await this.quota.makeRoom())) throw failure;
      return this.perform(request, true);
    }
  }
}
