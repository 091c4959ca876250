/** A repository in a folder of this computer (specification: store, section 2), as restic keeps one. */
import { BlockError } from '../base/errors.ts';
import type { Files, Folders, HostFile } from '../platform/platform.ts';
import type { ObjectStore, StoredObject } from './object-store.ts';

export class LocalStore implements ObjectStore {
  constructor(
    /** Without a slash at the end. */
    readonly location: string,
    private readonly files: Files,
    private readonly folders: Folders,
  ) {}

  async prepare(names: readonly string[]): Promise<void> {
    await this.folders.make(this.location);
    for (const name of names) await this.folders.make(this.path(name));
  }

  get(name: string, limit: number): Promise<Uint8Array> {
    return this.withFile(name, async (file) => {
      const bytes = await file.getSize();
      if (bytes > limit) throw new BlockError('EFBIG', `${name} has ${bytes} bytes, more than ${limit}`);
      const content = new Uint8Array(bytes);
      await file.read(0, content);
      return content;
    });
  }

  getRange(name: string, offset: number, bytes: number): Promise<Uint8Array> {
    return this.withFile(name, async (file) => {
      const size = await file.getSize();
      if (offset + bytes > size)
        throw new BlockError('EIO', `${name} ends at ${size}, not at ${offset + bytes}`);
      const content = new Uint8Array(bytes);
      await file.read(offset, content);
      return content;
    });
  }

  put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    return this.folders.writeWhole(this.path(name), parts);
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    const found: StoredObject[] = [];
    for (const { name, isFolder, bytes } of await this.folders.list(this.path(folder))) {
      const path = `${folder}/${name}`;
      if (isFolder) found.push(...(await this.list(path)));
      // What a program that died was writing.
      else if (!name.endsWith('.tmp')) found.push({ name: path, bytes });
    }
    return found;
  }

  async remove(name: string): Promise<void> {
    try {
      await this.files.unlink(this.path(name));
    } catch (error) {
      if (!(error instanceof BlockError) || error.errno !== 'ENOENT') throw error;
    }
  }

  private path(name: string): string {
    return `${this.location}/${name}`;
  }

  private async withFile<T>(name: string, act: (file: HostFile) => Promise<T>): Promise<T> {
    const file = await this.files.open(this.path(name), { write: false });
    try {
      return await act(file);
    } finally {
      await file.close();
    }
  }
}
