/**
 * The ways by which files of Node are read and written, for tests that hold for each. Beside those that users have, by the
 * thread pool or by the kernel's io_uring, with what is quick in place or not, there is an io_uring whose kernel is as bad as it may be.
 */
import * as fs from 'node:fs';
import type { TestContext } from 'vitest';
import { files } from '../../host/platform/node/files.ts';
import { NodeFile } from '../../host/platform/node/host-file.ts';
import { libc } from '../../host/platform/node/libc.ts';
import { RingRequests, ringRequests } from '../../host/platform/node/ring-requests.ts';
import type { FileOpenOptions, HostFile } from '../../host/platform/platform.ts';
import { type Fault, UnrulyRing } from './unruly-ring.ts';

export interface BackEnd {
  readonly name: string;
  /** What `chosen` is told; absent: nobody chooses. */
  readonly way?: 'threads' | 'io_uring';
  /** Of every request, in bytes. */
  readonly alignment: number;
  /** What is quick is done in place, and so little goes the way in the name. */
  readonly isMixed?: true;
  /** To be called before each test: skips those that this machine cannot have. */
  require(context: TestContext): void;
  open(path: string, options: FileOpenOptions): Promise<HostFile>;
  /** Has requests of all its files fail until what it returns is called. Absent: nobody can. */
  fail?(fault: Fault): () => void;
}

const ring = ringRequests();

function requireRing(context: TestContext): void {
  if (!(ring instanceof RingRequests)) context.skip(`no io_uring here: ${ring.message}`);
}

/** What is asked of the environment when a file is opened. */
function openForced(way: string, path: string, options: FileOpenOptions): Promise<HostFile> {
  const before = process.env['BLOCKYARD_AIO'] ?? '';
  process.env['BLOCKYARD_AIO'] = way;
  try {
    return files.open(path, options);
  } finally {
    process.env['BLOCKYARD_AIO'] = before;
  }
}

const usual: readonly BackEnd[] = [
  {
    name: 'threads',
    way: 'threads',
    alignment: 1,
    isMixed: true,
    require: () => undefined,
    open: (path, options) => files.open(path, { ...options, aio: 'threads' }),
  },
  {
    name: 'threads alone',
    way: 'threads',
    alignment: 1,
    require: () => undefined,
    open: (path, options) => openForced('threads', path, options),
  },
  {
    name: 'io_uring, where the kernel has it',
    way: 'io_uring',
    alignment: 1,
    isMixed: true,
    require: requireRing,
    open: (path, options) => files.open(path, { ...options, aio: 'io_uring' }),
  },
  {
    name: 'io_uring alone, where the kernel has it',
    way: 'io_uring',
    alignment: 1,
    require: requireRing,
    open: (path, options) => openForced('io_uring', path, options),
  },
  {
    name: 'io_uring past the page cache (native), where the kernel has it',
    way: 'io_uring',
    alignment: 4096,
    require: requireRing,
    open: (path, options) => files.open(path, { ...options, aio: 'native', direct: true }),
  },
  {
    name: 'threads past the page cache',
    way: 'threads',
    alignment: 4096,
    require: (context) => {
      if (!libc()) context.skip('no koffi here');
    },
    open: (path, options) => files.open(path, { ...options, aio: 'threads', direct: true }),
  },
];

/** One whose kernel draws from `seed`. */
export function unrulyBackEnd(seed: number): BackEnd & Required<Pick<BackEnd, 'fail'>> {
  const unruly = new UnrulyRing(seed);
  return {
    name: 'an io_uring of an unruly kernel',
    alignment: 1,
    require: () => undefined,
    async open(path, options) {
      // For its errors, and for what is to become of a file that is there, or is not.
      await (await files.open(path, options)).close();
      const fd = fs.openSync(path, options.write ? 'r+' : 'r');
      return new NodeFile(fd, { requests: unruly.requests, neverInPlace: true });
    },
    fail(fault) {
      unruly.fault = fault;
      return () => {
        unruly.fault = undefined;
      };
    },
  };
}

export const backEnds: readonly BackEnd[] = [...usual, unrulyBackEnd(1)];
