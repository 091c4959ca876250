/** Where a tool prints: the process's own streams, or whatever a test or another program gives it. */
import * as fs from 'node:fs';
import { hasToClose } from './internal-error.ts';

export interface Terminal {
  out(text: string): void;
  error(text: string): void;
}

/**
 * The process's own streams. Writing in place saves the milliseconds that setting up `process.stdout` takes; a pipe
 * that is full and does not block gets the rest through it.
 */
export const processTerminal: Terminal = {
  out: (text) => write(1, text),
  error: (text) => write(2, text),
};

/** Those that have been asked for: all else that is written goes through them, too, so that it comes out in order. */
const streams = new Map<number, NodeJS.WriteStream>();

/** The stream, for what cannot be written in place. Whoever writes to it need not care for its errors. */
export function streamOf(fd: 1 | 2): NodeJS.WriteStream {
  let stream = streams.get(fd);
  if (!stream) {
    stream = fd === 1 ? process.stdout : process.stderr;
    stream.on('error', (error) => outputFailed(fd, error));
    streams.set(fd, stream);
  }
  return stream;
}

function write(fd: 1 | 2, text: string): void {
  const stream = streams.get(fd);
  if (stream) {
    stream.write(text);
    return;
  }
  let rest: Uint8Array = Buffer.from(text);
  try {
    while (rest.length > 0) rest = rest.subarray(fs.writeSync(fd, rest));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
      streamOf(fd).write(rest);
    } else {
      outputFailed(fd, error as Error);
    }
  }
}

/**
 * Nothing more can be printed. Whoever reads may leave early (`| head`): that ends the program, quietly. A program that
 * serves others goes on.
 */
function outputFailed(fd: 1 | 2, error: NodeJS.ErrnoException): void {
  if (hasToClose()) return;
  if (fd === 1 && error.code !== 'EPIPE') write(2, `blockyard: write error: ${error.message}\n`);
  process.exit(1);
}
