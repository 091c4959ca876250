/**
 * What a simulated disk holds: files by name, each an array of bytes, and the changes that can happen to one.
 *
 * Nothing here takes time or fails. Copies are cheap, so that thousands of states of one disk can be looked at.
 * There are no directories. Block devices are files that never change their length; one may be a drive for discs.
 */
import { BlockError } from '../../base/errors.ts';
import { SparseBytes } from '../../base/sparse-bytes.ts';

const pageBytes = 4096;

/** One change of one file. */
export type Change =
  | { type: 'write'; offset: number; data: Uint8Array }
  | { type: 'truncate'; size: number }
  /** Reads as zeros afterwards; extends the file. */
  | { type: 'zero'; offset: number; bytes: number; takesSpace?: boolean }
  /** Reads as zeros afterwards; the file keeps its size. */
  | { type: 'discard'; offset: number; bytes: number }
  /** May extend the file. */
  | { type: 'allocate'; offset: number; bytes: number };

export class FileContent {
  readonly bytes: SparseBytes;

  constructor(
    /** Tells files apart whatever they are called. */
    readonly inode: number,
    bytes: SparseBytes = new SparseBytes(pageBytes),
    public size = 0,
    /** Of a block device: whether there is a disc in the drive that it is, or `no-drive`. */
    public device?: 'no-drive' | 'no-disc' | 'disc',
  ) {
    this.bytes = bytes;
  }

  apply(change: Change): void {
    switch (change.type) {
      case 'write':
        this.bytes.write(change.offset, change.data);
        this.growTo(change.offset + change.data.length);
        break;
      case 'truncate':
        if (change.size < this.size) this.bytes.clear(change.size, this.size - change.size);
        this.size = change.size;
        break;
      case 'zero':
        this.bytes.clear(change.offset, change.bytes);
        this.growTo(change.offset + change.bytes);
        break;
      case 'discard':
        this.bytes.clear(change.offset, change.bytes);
        break;
      case 'allocate':
        this.growTo(change.offset + change.bytes);
        break;
    }
  }

  private growTo(size: number): void {
    if (size > this.size) this.size = size;
  }

  clone(): FileContent {
    return new FileContent(this.inode, this.bytes.clone(), this.size, this.device);
  }
}

export class SimStorage {
  private readonly names = new Map<string, FileContent>();
  private nextInode = 1;

  find(path: string): FileContent | undefined {
    return this.names.get(path);
  }

  /** Errors: ENOENT. */
  get(path: string): FileContent {
    const content = this.names.get(path);
    if (!content) throw new BlockError('ENOENT');
    return content;
  }

  create(path: string): FileContent {
    const content = new FileContent(this.nextInode++);
    this.names.set(path, content);
    return content;
  }

  /** A block device that nothing was written to. */
  createDevice(path: string, size: number, device: NonNullable<FileContent['device']> = 'no-drive'): void {
    const content = this.create(path);
    content.size = size;
    content.device = device;
  }

  unlink(path: string): void {
    if (!this.names.delete(path)) throw new BlockError('ENOENT');
  }

  paths(): string[] {
    return [...this.names.keys()];
  }

  files(): Iterable<FileContent> {
    return this.names.values();
  }

  get allocatedBytes(): number {
    let sum = 0;
    for (const { bytes } of this.names.values()) sum += bytes.allocatedBytes;
    return sum;
  }

  /** A whole file at once, for tests that hand images in and out. */
  readFile(path: string): Uint8Array {
    const { bytes, size } = this.get(path);
    const result = new Uint8Array(size);
    bytes.read(0, result);
    return result;
  }

  writeFile(path: string, data: Uint8Array): void {
    const content = this.names.get(path) ?? this.create(path);
    content.apply({ type: 'truncate', size: 0 });
    content.apply({ type: 'write', offset: 0, data });
  }

  clone(): SimStorage {
    const copy = new SimStorage();
    copy.nextInode = this.nextInode;
    for (const [path, content] of this.names) copy.names.set(path, content.clone());
    return copy;
  }
}
