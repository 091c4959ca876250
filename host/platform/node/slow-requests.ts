/**
 * Requests that are not made in place: by the kernel's io_uring (ring-requests.ts), or by the thread pool of Node, which
 * is always there.
 */
import * as fs from 'node:fs';
import { InFlight } from '../../base/in-flight.ts';
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

class ThreadPool implements SlowRequests {
  readonly name = 'threads';
  private readonly copies = new InFlight();

  isCopying(): boolean {
    return !this.copies.isIdle;
  }

  read(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.copy((callback) => fs.read(fd, buffer, 0, buffer.length, offset, callback));
  }

  write(fd: number, buffer: Uint8Array, offset: number): Promise<number> {
    return this.copy((callback) => fs.write(fd, buffer, 0, buffer.length, offset, callback));
  }

  datasync(fd: number): Promise<void> {
    return call((callback) => fs.fdatasync(fd, callback));
  }

  private async copy(start: Parameters<typeof transfer>[0]): Promise<number> {
    this.copies.begin();
    try {
      return await transfer(start);
    } finally {
      this.copies.end();
    }
  }
}

export const threadPool: SlowRequests = new ThreadPool();

/** One read or write of the callback API: how many bytes, or `interrupted`. */
export function transfer(
  start: (callback: (error: Error | null, bytes: number) => void) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    start((error, bytes) => {
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
