/**
 * The `file` and `pipe` chardevs: what goes out is written to a file, or to one of a pair of FIFOs while the other one
 * is read (`PATH.out` and `PATH.in`, or `PATH` for both).
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { Connection } from '../../platform/connection.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { endSocket, StreamConnection } from '../../platform/node/stream-connection.ts';
import type { Chardev } from './chardev.ts';

class FileChardev implements Chardev {
  constructor(
    readonly filename: 'file' | 'pipe',
    private readonly input: Readable | undefined,
    private readonly output: Writable,
  ) {}

  serve(onConnection: (connection: Connection) => void): void {
    onConnection(new StreamConnection(this.input, this.output, () => this.end()));
  }

  close(): void {
    this.input?.destroy();
    this.end();
  }

  private end(): void {
    if (this.output instanceof net.Socket) endSocket(this.output);
    else this.output.end();
  }
}

export function openFileChardev(path: string, append: boolean): Chardev {
  const fd = openFd(path, append ? 'a' : 'w', path);
  return new FileChardev('file', undefined, fs.createWriteStream(path, { fd }));
}

export function openPipeChardev(path: string): Chardev {
  const paired = fileExists(`${path}.in`) && fileExists(`${path}.out`);
  // Open for both, so that opening waits for nobody and the pipe stays when its peers come and go.
  const input = openFd(paired ? `${path}.in` : path, 'r+', path);
  const output = openFd(paired ? `${path}.out` : path, 'r+', path);
  // FIFOs are used like sockets: a thread that waits for one could not be called off, and the process would never end.
  const isFifo = (fd: number): boolean => fs.fstatSync(fd).isFIFO();
  return new FileChardev(
    'pipe',
    isFifo(input)
      ? new net.Socket({ fd: input, readable: true, writable: false })
      : fs.createReadStream(path, { fd: input }),
    isFifo(output)
      ? new net.Socket({ fd: output, readable: false, writable: true })
      : fs.createWriteStream(path, { fd: output }),
  );
}

function openFd(path: string, flags: string, named: string): number {
  try {
    return fs.openSync(path, flags, 0o666);
  } catch (error) {
    throw fromSystemError(error).within(`Could not open '${named}'`);
  }
}
