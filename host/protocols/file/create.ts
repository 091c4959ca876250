/**
 * Making a file for an image. A file that exists is emptied, but only once the image locks say that nobody is using
 * it. When that fails, or what comes after it, there is no file: its content was lost when it was emptied. Only a job
 * leaves it, as QEMU's does.
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import type { CreateJobDefinition, CreateOption, CreateValues } from '../../block/driver.ts';
import { Perm } from '../../block/permissions.ts';
import type { HostFile, Platform } from '../../platform/platform.ts';
import { preallocationMode } from '../../qapi/block-types.ts';
import { bool, optional, size, str, struct, type TypeOf } from '../../qapi/types.ts';
import { ImageLocks } from './image-locks.ts';
import { preallocate } from './preallocate.ts';

export const fileCreateOptions: readonly CreateOption[] = [
  { name: 'size', type: 'size', help: 'Virtual disk size' },
  { name: 'preallocation', type: 'string', help: 'Preallocation mode (allowed values: off, falloc, full)' },
  { name: 'nocow', type: 'bool', help: 'Turn off copy-on-write (valid only on btrfs)' },
  { name: 'extent_size_hint', type: 'size', help: 'Extent size hint for the image file, 0 to disable' },
];

const jobOptions = struct('BlockdevCreateOptionsFile', {
  filename: str,
  size,
  preallocation: optional(preallocationMode),
  nocow: optional(bool),
  'extent-size-hint': optional(size),
});

const maxExtentBytes = 2 ** 32 - 1;

export const fileCreateJob: CreateJobDefinition<TypeOf<typeof jobOptions>> = {
  options: jobOptions,
  values: ({ size, preallocation, nocow, 'extent-size-hint': hint }) => ({
    size,
    preallocation,
    nocow,
    extent_size_hint: hint,
  }),
};

/**
 * Errors: `Could not create 'F': …`, `Failed to get "write" lock`, `Unsupported preallocation mode: metadata`. nocow and
 * extent_size_hint are hints, which file systems may not know.
 */
export async function createFile(
  platform: Platform,
  filename: string,
  values: CreateValues,
  opened?: () => Promise<void>,
): Promise<void> {
  const { size = 0, preallocation: mode = 'off', nocow, extent_size_hint: extentSizeHint = 0 } = values;
  if (typeof size !== 'number') throw invalid("Parameter 'size' expects a size");
  if (typeof extentSizeHint !== 'number' || extentSizeHint > maxExtentBytes)
    throw invalid('Extent size hint is too large');
  if (mode !== 'off' && mode !== 'metadata' && mode !== 'falloc' && mode !== 'full')
    throw invalid(`invalid parameter value: ${String(mode)}`);

  let existed: boolean;
  let file: HostFile;
  try {
    existed = await exists(platform, filename);
    // One that is there and is taken away meanwhile (a temporary one, by a signal) does not come back.
    file = await platform.files.open(
      filename,
      existed ? { write: true } : { write: true, create: 'if-absent' },
    );
  } catch (error) {
    throw asBlockError(error).within(`Could not create '${filename}'`);
  }
  let isOurs = !existed;
  try {
    if (file.locks) {
      // Ends with the file.
      new ImageLocks(file.locks, filename).prepare(Perm.write | Perm.resize, Perm.resize);
    }
    await opened?.();
    if (mode === 'metadata') throw invalid('Unsupported preallocation mode: metadata');
    await resize(file, 0);
    isOurs = true;
    // Of a file that has nothing yet.
    file.advise?.({ inPlace: nocow === true, extentBytes: extentSizeHint });
    if (mode === 'off') await resize(file, size);
    else await preallocate(file, mode, 0, size);
  } catch (error) {
    if (isOurs && !opened) await removeFile(platform, filename);
    throw error;
  } finally {
    await file.close();
  }
}

/** What was to become an image has not become one. Staying where it is does no harm but that. */
export async function removeFile(platform: Platform, filename: string): Promise<void> {
  await platform.files.unlink(filename).catch(asBlockError);
}

async function exists({ files }: Platform, filename: string): Promise<boolean> {
  try {
    await files.stat(filename);
    return true;
  } catch (error) {
    if (asBlockError(error).errno === 'ENOENT') return false;
    throw error;
  }
}

async function resize(file: HostFile, size: number): Promise<void> {
  try {
    await file.truncate(size);
  } catch (error) {
    throw asBlockError(error).within('Could not resize file');
  }
}
