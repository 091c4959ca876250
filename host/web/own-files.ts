/** Files in the browser's own storage as a page handles them: those of disks, backups and machines, which all lie in its root. */
import { rootDirectory } from '../platform/browser/paths.ts';

const attempts = 20;
const pauseMs = 50;

/** What lies beside an image and goes with it: what its base is, and what its bitmaps are until they are in it. */
const sideSuffixes = ['.base.json', '.bitmaps'];

/** An image, with all that lies beside it. */
export const withSideFiles = (path: string): string[] => [
  path,
  ...sideSuffixes.map((suffix) => path + suffix),
];

/** All of it is there afterwards, or what was there before. */
export async function writeFile(path: string, content: FileSystemWriteChunkType): Promise<void> {
  const directory = await rootDirectory();
  const handle = await directory.getFileHandle(path, { create: true });
  const writable = await handle.createWritable();
  await writable.write(content);
  await writable.close();
}

/** As `writeFile`, with what comes: no more of it than a piece is in memory. Errors: those of the stream, too. */
export async function writeStream(path: string, stream: ReadableStream<Uint8Array>): Promise<void> {
  const directory = await rootDirectory();
  const handle = await directory.getFileHandle(path, { create: true });
  await stream.pipeTo(await handle.createWritable());
}

/** Removes what is there of them, with what lies beside. Errors: one is open in another tab. */
export async function removeFiles(paths: readonly string[]): Promise<void> {
  const directory = await rootDirectory();
  for (const path of paths.flatMap(withSideFiles)) await remove(directory, path);
}

/** A worker that has just closed a file holds it a moment longer. */
async function remove(directory: FileSystemDirectoryHandle, path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await directory.removeEntry(path);
      return;
    } catch (error) {
      const { name } = error as DOMException;
      if (name === 'NotFoundError') return;
      if (name !== 'NoModificationAllowedError') throw error;
      if (attempt === attempts) throw new Error(`“${path}” is open in another tab.`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** Those of the paths that there are, to be read as they are now. */
export async function openFiles(paths: readonly string[]): Promise<ReadonlyMap<string, File>> {
  const directory = await rootDirectory();
  const files = new Map<string, File>();
  for (const path of paths) {
    try {
      files.set(path, await (await directory.getFileHandle(path)).getFile());
    } catch (error) {
      if ((error as DOMException).name !== 'NotFoundError') throw error;
    }
  }
  return files;
}

/** Of all together, in bytes; what is not there has none. */
export async function sizeOf(paths: readonly string[]): Promise<number> {
  const files = await listFiles();
  return paths.reduce((total, path) => total + (files.get(path) ?? 0), 0);
}

/** All files in the root with their sizes, in bytes. */
export async function listFiles(): Promise<ReadonlyMap<string, number>> {
  const directory = await rootDirectory();
  const files = new Map<string, number>();
  for await (const handle of directory.values()) {
    if (handle.kind !== 'file') continue;
    // One that is being removed has gone by the time it is asked for.
    const file = await (handle as FileSystemFileHandle).getFile().catch(() => undefined);
    if (file) files.set(handle.name, file.size);
  }
  return files;
}
