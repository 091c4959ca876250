/** Folders of the operating system. */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FolderEntry, Folders } from '../platform.ts';
import { fromSystemError } from './errors.ts';

const folderMode = 0o700;
const fileMode = 0o600;
/** Names of files that are not whole yet; this process's own. */
let unfinished = 0;

export const folders: Folders = {
  make: (path) => translated(async () => void (await mkdir(path, { recursive: true, mode: folderMode }))),

  list: (path) =>
    translated(async () => {
      try {
        const entries = await readdir(path, { withFileTypes: true });
        return await Promise.all(entries.map((entry) => describe(path, entry.name, entry.isDirectory())));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    }),

  writeWhole: (path, parts) =>
    translated(async () => {
      const temporary = `${path}.${process.pid}-${unfinished++}.tmp`;
      try {
        await withHandle(temporary, 'wx', async (file) => {
          for (const part of parts) await file.writeFile(part);
          await file.sync();
        });
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
      await withHandle(dirname(path), 'r', (folder) => folder.sync());
    }),
};

async function describe(folder: string, name: string, isFolder: boolean): Promise<FolderEntry> {
  return { name, isFolder, bytes: isFolder ? 0 : (await stat(join(folder, name))).size };
}

async function withHandle(
  path: string,
  flags: string,
  act: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, fileMode);
  try {
    await act(file);
  } finally {
    await file.close();
  }
}

async function translated<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw fromSystemError(error);
  }
}
