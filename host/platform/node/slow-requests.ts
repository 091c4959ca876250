/**
 * Requests that are not made in place: by the kernel's io_uring (ring-requests.ts), or by the thread pool of Node, which
 * is always there.
 */
import * as fs from 'node:fs';
import { asRejection, call, isInterrupted } from './errors.ts';

/** In place of a number of bytes: nothing was moved, and the request is to be made again. */
export const interrupted = -1;

/** Of any file. What is moved may be less than the buffer. Errors: BlockError. */
export interface SlowRequests {
  /** As traces call it. */
  readonly name: 'threads' | 'io_uring';
  /** Another thread than that of the caller is copying data. What was asked for has been handed over. */
  isCopying(): boolean;
  read(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  write(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  /** As fdatasync(2). */
  datasync(fd: number): Promise<void>;
}

let transfers = 0;

export const threadPool: SlowRequests = {
  name: 'threads',
  isCopying: () => transfers > 0,
  read: (fd, buffer, offset) =>
    transfer((callback) => fs.read(fd, buffer, 0, buffer.length, offset, callback)),
  write: (fd, buffer, offset) =>
    transfer((callback) => fs.write(fd, buffer, 0, buffer.length, offset, callback)),
  datasync: (fd) => call((callback) => fs.fdatasync(fd, callback)),
};

/** One read or write of the callback API: how many bytes, or `interrupted`. */
export function transfer(
  start: (callback: (error: Error | null, bytes: number) => void) => void,
): Promise<number> {
  transfers++;
  return new Promise((resolve, reject) => {
    start((error, bytes) => {
      transfers--;
      if (!error) resolve(bytes);
      else if (isInterrupted(error)) resolve(interrupted);
      else reject(asRejection(error));
    });
  });
}

/** Makes a transfer whole: `move` is asked for the rest until nothing is left, or it moves nothing. How much was moved. */
export async function repeat(
  buffer: Uint8Array,
  offset: number,
  move: (rest: Uint8Array, offset: number) => Promise<number>,
): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const bytes = await move(done === 0 ? buffer : buffer.subarray(done), offset + done);
    if (bytes === 0) break;
    if (bytes !== interrupted) done += bytes;
  }
  return done;
}
