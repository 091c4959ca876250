/**
 * Sockets of the operating system: unix, TCP, and descriptors that the program was started with.
 *
 * What is written goes out at once, however little it is. A socket that a killed process has left behind is taken away
 * when somebody listens under its name; anything else of that name stays.
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { BlockError, invalid } from '../../base/errors.ts';
import type { Connection, ConnectionHandlers } from '../connection.ts';
import type { Listener, SocketAddress, Sockets } from '../sockets.ts';
import { fromSystemError } from './errors.ts';
import { fileExists } from './file-exists.ts';

const maxUnixPathBytes = 107;
const maxPort = 65_535;
/** A peer has that long to fetch what was written before the end. */
const fetchingMs = 2_000;

export const sockets: Sockets = {
  async listen(address, accept) {
    const server = await listenOn(address, { noDelay: true });
    server.on('connection', (socket) => accept(new SocketConnection(socket)));
    // Nobody can be let in just now (EMFILE); who waits in the backlog may be later.
    server.on('error', () => {});
    return { close: () => void server.close() } satisfies Listener;
  },
};

interface ListenOptions {
  readonly noDelay: boolean;
}

/** Sockets come paused. Errors: BlockError. */
async function listenOn(address: SocketAddress, options: ListenOptions): Promise<net.Server> {
  checkAddress(address);
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, ...options });
  if (address.type === 'unix') removeStaleSocket(address.path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(bindError(error, address)));
    server.once('listening', resolve);
    server.listen(optionsOf(address));
  });
  server.removeAllListeners('error');
  return server;
}

/** As messages name it. */
function describeAddress(address: SocketAddress): string {
  if (address.type === 'unix') return address.path;
  return address.type === 'inet' ? `${address.host}:${address.port}` : String(address.fd);
}

function checkAddress(address: SocketAddress): void {
  if (address.type === 'unix' && address.path === '') throw invalid('UNIX socket path is empty');
  if (address.type === 'unix' && Buffer.byteLength(address.path) > maxUnixPathBytes) {
    throw invalid(
      `UNIX socket path '${address.path}' is too long`,
      `Path must be less than ${maxUnixPathBytes + 1} bytes`,
    );
  }
  if (address.type === 'fd' && !isSocket(address.fd)) {
    throw invalid(`File descriptor '${address.fd}' is not a socket`);
  }
  if (address.type === 'inet' && !(/^\d+$/.test(address.port) && Number(address.port) <= maxPort)) {
    throw invalid(
      `address resolution failed for ${describeAddress(address)}: Servname not supported for ai_socktype`,
    );
  }
}

/** Node takes a path that reads as a number for a port. */
function asPath(path: string): string {
  return path.includes('/') ? path : `./${path}`;
}

function isSocket(fd: number): boolean {
  try {
    return fs.fstatSync(fd).isSocket();
  } catch {
    // Not open at all.
    return false;
  }
}

function optionsOf(address: SocketAddress): net.ListenOptions & { fd?: number } {
  if (address.type === 'unix') return { path: asPath(address.path) };
  if (address.type === 'fd') return { fd: address.fd };
  return { port: Number(address.port), ...(address.host === '' ? {} : { host: address.host }) };
}

function bindError(error: Error, address: SocketAddress): BlockError {
  if ((error as NodeJS.ErrnoException).syscall === 'getaddrinfo')
    return fromSystemError(error).within(`address resolution failed for ${describeAddress(address)}`);
  const context =
    address.type === 'unix' ? `Failed to bind socket to ${address.path}` : 'Failed to bind socket';
  // Node says EACCES where the directory does not exist.
  const isMissing = address.type === 'unix' && !fileExists(dirname(address.path));
  return (isMissing ? new BlockError('ENOENT') : fromSystemError(error)).within(context);
}

/** A socket left behind by a process that was killed would be in the way; anything else stays where it is. */
function removeStaleSocket(path: string): void {
  try {
    if (fs.lstatSync(path).isSocket()) fs.unlinkSync(path);
  } catch {
    // Whatever is wrong with the path, listening on it will say so.
  }
}

class SocketConnection implements Connection {
  private handlers: ConnectionHandlers | undefined;
  private isClosed = false;

  constructor(private readonly socket: net.Socket) {
    // A peer may go away before anybody is told of it.
    socket.on('error', () => this.closed());
    socket.on('close', () => this.closed());
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    const { socket } = this;
    socket.on('data', (bytes: Uint8Array) => handlers.data(bytes));
    socket.on('end', () => handlers.ended());
    socket.on('drain', () => handlers.drained());
    socket.resume();
    if (socket.destroyed) this.closed();
  }

  write(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { socket } = this;
    socket.end(() => socket.destroy());
    socket.unref();
    // Node waits for what is being written, whatever is unreferenced.
    if (socket.writableLength > 0) setTimeout(() => socket.destroy(), fetchingMs).unref();
  }

  private closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.destroy();
    this.handlers?.closed();
  }
}
