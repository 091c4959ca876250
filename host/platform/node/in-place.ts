/**
 * Reads and writes that are done when the call returns, without an error object for those that fail.
 *
 * Through libc where that has been loaded: the call itself costs half as much as that of `node:fs`. A result below the
 * length of the buffer means that less was moved, or nothing, for whatever reason: whoever must know it repeats the call
 * by a way that tells.
 */
import * as fs from 'node:fs';
import { loadedLibc } from './libc.ts';

/** Linux, include/uapi/linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;

/** In place of how many bytes there were. */
const failed = -1;

/** Fills `buffer` from `offset` of the file: how many bytes of it. */
export function readInPlace(fd: number, buffer: Uint8Array, offset: number): number {
  const c = loadedLibc();
  if (c) return c.pread(fd, buffer, offset);
  try {
    return fs.readSync(fd, buffer, 0, buffer.length, offset);
  } catch {
    return failed;
  }
}

/** As `readInPlace`, without waiting for a disk. `isInMemory`: of the file. */
export function readCached(
  fd: number,
  buffer: Uint8Array,
  offset: number,
  { isInMemory }: { isInMemory: boolean },
): number {
  if (isInMemory) return readInPlace(fd, buffer, offset);
  return loadedLibc()?.preadCached(fd, buffer, offset) ?? failed;
}

/** Whether there is no disk under the file: such file systems do not know how to read without waiting. */
export function isInMemory(fd: number): boolean {
  try {
    return fs.statfsSync(`/proc/self/fd/${fd}`).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

/** Writes `buffer` at `offset` of the file: how many bytes of it. */
export function writeInPlace(fd: number, buffer: Uint8Array, offset: number): number {
  const c = loadedLibc();
  if (c) return c.pwrite(fd, buffer, offset);
  try {
    return fs.writeSync(fd, buffer, 0, buffer.length, offset);
  } catch {
    return failed;
  }
}
