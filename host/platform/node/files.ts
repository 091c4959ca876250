/**
 * Files of the operating system. Opening never blocks the thread and never hangs on a pipe; what may be long (open,
 * truncate, unlink on a slow file system) goes to the thread pool.
 */
import * as fs from 'node:fs';
import { open as openHandle } from 'node:fs/promises';
import { BlockError } from '../../base/errors.ts';
import type { FileOpenOptions, FileStatus, Files, HostFile } from '../platform.ts';
import { DirectFile } from './direct-file.ts';
import { call, fromSystemError } from './errors.ts';
import { forcedWay } from './forced-way.ts';
import { fileStatus, NodeFile } from './host-file.ts';
import { libc } from './libc.ts';

/** Permission bits of new files, before the umask. */
const newFileMode = 0o644;

/** Absent on Windows, where Node leaves them undefined. */
const O_NONBLOCK = fs.constants.O_NONBLOCK ?? 0;
const O_DIRECT = fs.constants.O_DIRECT ?? 0;

/** Linux, include/uapi/linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;

export const files: Files = {
  async open(path: string, options: FileOpenOptions): Promise<HostFile> {
    const direct = options.direct === true;
    if (direct && (O_DIRECT === 0 || !libc())) {
      throw new BlockError('ENOTSUP', 'cache.direct=on needs O_DIRECT and the optional package koffi');
    }
    const forced = forcedWay();
    const neverInPlace = forced !== undefined;
    if (isRestricted && !direct) return openRestricted(path, options, neverInPlace);
    const fd = await openDescriptor(path, options);
    try {
      const stats = fs.fstatSync(fd);
      if (stats.isDirectory()) throw new BlockError('EISDIR');
      const { aio = forced, chosen } = options;
      const kind = {
        isDevice: stats.isBlockDevice(),
        isMemory: isInMemory(path, stats),
        aio,
        chosen,
        neverInPlace,
      };
      return direct ? new DirectFile(fd, libc()!, kind) : new NodeFile(fd, kind); // checked above
    } catch (error) {
      fs.closeSync(fd);
      throw fromSystemError(error);
    }
  },

  async stat(path: string): Promise<FileStatus> {
    return fileStatus(await call<fs.Stats>((callback) => fs.stat(path, callback)));
  },

  unlink(path: string): Promise<void> {
    return call((callback) => fs.unlink(path, callback));
  },

  async identify(path: string): Promise<string> {
    const { dev, ino } = await call<fs.BigIntStats>((callback) => fs.stat(path, { bigint: true }, callback));
    return `${dev}:${ino}`;
  },
};

/** That there is no disk under an open file. One that has lost its name since counts as if there were. */
function isInMemory(path: string, stats: fs.Stats): boolean {
  if (!stats.isFile()) return false;
  try {
    return fs.statfsSync(path).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

async function openDescriptor(path: string, options: FileOpenOptions): Promise<number> {
  try {
    return await call<number>((callback) => fs.open(path, openFlags(options), newFileMode, callback));
  } catch (error) {
    if (!options.direct || !(error instanceof BlockError) || error.errno !== 'EINVAL') throw error;
    throw new BlockError('EINVAL', 'filesystem does not support O_DIRECT');
  }
}

/** Node's permission model then refuses calls that a bare descriptor is enough for, fdatasync among them. */
const isRestricted = process.permission !== undefined;

async function openRestricted(
  path: string,
  options: FileOpenOptions,
  neverInPlace: boolean,
): Promise<HostFile> {
  try {
    const handle = await openHandle(path, openFlags(options), newFileMode);
    try {
      const stats = await handle.stat();
      if (stats.isDirectory()) throw new BlockError('EISDIR');
      return new NodeFile(handle.fd, { isDevice: stats.isBlockDevice(), handle, neverInPlace });
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw fromSystemError(error);
  }
}

function openFlags({ write, create, direct }: FileOpenOptions): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC } = fs.constants;
  // O_NONBLOCK means nothing to a regular file; opening a named pipe would wait for its writer without it.
  let flags = (write ? O_RDWR : O_RDONLY) | O_NONBLOCK;
  if (create !== undefined) flags |= O_CREAT;
  if (create === 'exclusive') flags |= O_EXCL;
  if (create === 'truncate') flags |= O_TRUNC;
  if (direct === true) flags |= O_DIRECT;
  return flags;
}
