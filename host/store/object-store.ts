/**
 * Where a repository's files are: names, and bytes that are written once (specification: store, section 2).
 *
 * Nothing rests on conditions: a name says what is in the file, or is random, so writing it again writes the same. `put` settles
 * when the file is durable, whole, under its name; a put that failed may have done it or not, and of a pack (data/) even a part.
 * Files in other folders are seen whole or not at all.
 */
import { concatenated } from '../base/concatenated.ts';
import { BlockError } from '../base/errors.ts';

export interface StoredObject {
  /** As `put` was given it. */
  readonly name: string;
  readonly bytes: number;
}

export interface ObjectStore {
  /** How people call it; in messages. Without secrets. */
  readonly location: string;
  /** Folders that `init` makes, where there are such things. */
  prepare(folders: readonly string[]): Promise<void>;
  /** The whole file. Errors: ENOENT; EFBIG: it is larger than `limit`. */
  get(name: string, limit: number): Promise<Uint8Array>;
  /** Exactly those bytes of it. Errors: ENOENT; EIO: it ends before. */
  getRange(name: string, offset: number, bytes: number): Promise<Uint8Array>;
  /** `parts` in order are the content; `sha256`, 32 bytes, is its hash. */
  put(name: string, parts: readonly Uint8Array[], sha256: Uint8Array): Promise<void>;
  /**
   * As `put`, unless there is a file of that name with another content: then false. Where that cannot be told, it is `put`; absent
   * where it never can.
   */
  putNew?(name: string, parts: readonly Uint8Array[], sha256: Uint8Array): Promise<boolean>;
  /** Of all files below a folder, deep; in any order. Nothing where there is none. */
  list(folder: string): Promise<readonly StoredObject[]>;
  /** Nothing happens when it is not there. */
  remove(name: string): Promise<void>;
}

/** In memory: for tests, and for whoever wants to see what a repository is. */
export class MemoryStore implements ObjectStore {
  readonly location = 'memory';
  readonly files = new Map<string, Uint8Array>();

  async prepare(): Promise<void> {}

  async get(name: string, limit: number): Promise<Uint8Array> {
    const file = this.find(name);
    if (file.length > limit) throw new BlockError('EFBIG');
    return file.slice();
  }

  async getRange(name: string, offset: number, bytes: number): Promise<Uint8Array> {
    const file = this.find(name);
    if (offset + bytes > file.length) throw new BlockError('EIO', `${name} ends at ${file.length}`);
    return file.slice(offset, offset + bytes);
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    this.files.set(name, concatenated(parts));
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    return [...this.files]
      .filter(([name]) => name.startsWith(`${folder}/`))
      .map(([name, { length }]) => ({ name, bytes: length }));
  }

  async remove(name: string): Promise<void> {
    this.files.delete(name);
  }

  private find(name: string): Uint8Array {
    const file = this.files.get(name);
    if (!file) throw new BlockError('ENOENT');
    return file;
  }
}
