/** A repository that was made in memory, as a folder of a platform. */
import { BlockError } from '../../host/base/errors.ts';
import type { Files, Folders, Platform } from '../../host/platform/platform.ts';
import type { MemoryStore } from '../../host/store/object-store.ts';
import { platform as ofRepositories } from './world.ts';

/** What a platform has to have beside its files, of which `copyInto` makes the repository's. */
export function withFolder<P extends Platform>(platform: P, store: MemoryStore, root: string): P {
  const folders: Folders = {
    make: async () => {},
    list: async (path) =>
      (await store.list(path.slice(root.length + 1))).map(({ name, bytes }) => ({
        name: `${root}/${name}`.slice(path.length + 1),
        isFolder: false,
        bytes,
      })),
    writeWhole: async () => Promise.reject(new BlockError('EROFS')),
  };
  const { ciphers, hashes } = ofRepositories;
  return { ...platform, folders, ciphers, hashes };
}

export async function copyInto(files: Files, store: MemoryStore, root: string): Promise<void> {
  for (const [name, content] of store.files) {
    const file = await files.open(`${root}/${name}`, { write: true, create: 'truncate' });
    await file.write(0, content);
    await file.close();
  }
}

/** Files whose content is what the store has at the time they are read; `onRead` hears of each read. */
export function filesOf(store: MemoryStore, root: string, onRead = (): unknown => undefined): Files {
  const find = (path: string): Uint8Array => {
    const content = store.files.get(path.slice(root.length + 1));
    if (!content) throw new BlockError('ENOENT');
    return content;
  };
  return {
    open: async (path) => {
      find(path);
      return {
        getSize: async () => find(path).length,
        read: async (offset: number, buffer: Uint8Array) => {
          onRead();
          buffer.set(find(path).subarray(offset, offset + buffer.length));
        },
        close: async () => {},
      } as unknown as Awaited<ReturnType<Files['open']>>;
    },
    stat: async () => Promise.reject(new BlockError('ENOENT')),
    unlink: async () => Promise.reject(new BlockError('EROFS')),
    identify: async (path) => path,
  };
}
