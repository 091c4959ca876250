/**
 * Paths in the origin private file system: names between slashes from its root, which `/` in front and `.` in between do
 * not change. There is no working directory and there are no links.
 */
import { BlockError } from '../../base/errors.ts';
import { fromDomException } from './errors.ts';
import type { OpfsFileHandle } from './opfs-types.ts';

/** Without what says nothing; empty for the root. */
function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names;
}

/** Equal for equal files. */
export function canonicalPath(path: string): string {
  return `/${namesOf(path).join('/')}`;
}

/**
 * The file at `path`; `create` makes it, and the directories above it. Errors: ENOENT, EISDIR, ENOTDIR, EINVAL for a name
 * that the browser does not take, ENOTSUP without such a file system.
 */
export async function findFile(path: string, create: boolean): Promise<OpfsFileHandle> {
  const { directory, name } = await findPlace(path, create);
  try {
    return (await directory.getFileHandle(name, { create })) as OpfsFileHandle;
  } catch (error) {
    throw translated(error, 'EISDIR');
  }
}

export async function removeFile(path: string): Promise<void> {
  // Only a file goes: the call below would take an empty directory, too.
  await findFile(path, false);
  const { directory, name } = await findPlace(path, false);
  try {
    await directory.removeEntry(name);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NoModificationAllowedError')
      throw new BlockError('EBUSY', undefined, { cause: error });
    throw translated(error, 'EISDIR');
  }
}

/**
 * The directory that all paths start from. Errors: ENOTSUP where pages have none, EACCES where the browser refuses this one's,
 * both with the reason.
 */
export async function rootDirectory(): Promise<FileSystemDirectoryHandle> {
  if (!navigator.storage?.getDirectory)
    throw new BlockError(
      'ENOTSUP',
      'This page has no file system of its own: it must come over https or from localhost',
    );
  try {
    return await navigator.storage.getDirectory();
  } catch (cause) {
    throw new BlockError(
      'EACCES',
      'The browser keeps no files for this page: it is in a private window, or its site may not store data',
      { cause },
    );
  }
}

async function findPlace(
  path: string,
  create: boolean,
): Promise<{ directory: FileSystemDirectoryHandle; name: string }> {
  const names = namesOf(path);
  const name = names.pop();
  if (name === undefined) throw new BlockError('EISDIR');
  let directory = await rootDirectory();
  try {
    for (const part of names) directory = await directory.getDirectoryHandle(part, { create });
    return { directory, name };
  } catch (error) {
    throw translated(error, 'ENOTDIR');
  }
}

function translated(error: unknown, mismatch: 'EISDIR' | 'ENOTDIR'): BlockError {
  if (error instanceof DOMException && error.name === 'TypeMismatchError') {
    return new BlockError(mismatch, undefined, { cause: error });
  }
  if (error instanceof TypeError) return new BlockError('EINVAL', undefined, { cause: error });
  return fromDomException(error);
}
