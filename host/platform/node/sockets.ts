/**
 * Sockets of the operating system: unix, TCP, and descriptors that the program was started with.
 *
 * What is written goes out at once, however little it is. A socket that a killed process has left behind is taken away
 * when somebody listens under its name; anything else of that name stays.
 */
import { lookup } from 'node:dns/promises';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { BlockError, invalid } from '../../base/errors.ts';
import type { Connection } from '../connection.ts';
import type { Listener, SocketAddress, Sockets } from '../sockets.ts';
import { fromSystemError } from './errors.ts';
import { fileExists } from './file-exists.ts';
import { SocketConnection } from './socket-connection.ts';

const maxUnixPathBytes = 107;
const maxPort = 65_535;

export const sockets: Sockets = {
  async listen(address, accept) {
    const server = await listenOn(address, { noDelay: true });
    server.on('connection', (socket) => {
      accept(connectionOver(socket));
    });
    // Nobody can be let in just now (EMFILE); who waits in the backlog may be later.
    server.on('error', () => {});
    return { close: () => void server.close() } satisfies Listener;
  },
  async connect(address, signal) {
    return connectionOver(await connectTo(address, { noDelay: true }, signal));
  },
};

function connectionOver(socket: net.Socket): Connection {
  // A peer may go away before anybody is told of it.
  socket.on('error', () => {});
  return new SocketConnection(socket);
}

export interface SocketOptions {
  /** What is written goes out at once, however little it is. */
  readonly noDelay: boolean;
}

/** Sockets come paused. Errors: BlockError. */
export async function listenOn(given: SocketAddress, options: SocketOptions): Promise<net.Server> {
  checkAddress(given);
  const address = await inFamily(given);
  if (address.type !== 'inet' || address.to === undefined) return listenThere(address, options);
  for (let port = Number(address.port); port <= address.to; port++) {
    try {
      return await listenThere({ ...address, port: String(port) }, options);
    } catch (error) {
      if (port === address.to || !isTaken(error)) throw error;
    }
  }
  // None was tried.
  throw new BlockError('ENOENT').within('Failed to create a socket');
}

function isTaken(error: unknown): boolean {
  if (error instanceof BlockError) return isTaken(error.cause);
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

/** With the host's address where it has to be of one family. */
async function inFamily(address: SocketAddress): Promise<SocketAddress> {
  if (address.type !== 'inet' || address.family === undefined) return address;
  const { host, family } = address;
  if (host === '') return { ...address, host: family === 4 ? '0.0.0.0' : '::' };
  if (net.isIP(host) !== 0 && net.isIP(host) !== family) {
    throw unresolved(address, new BlockError('EINVAL', 'Address family for hostname not supported'));
  }
  try {
    return { ...address, host: (await lookup(host, { family })).address };
  } catch (error) {
    throw unresolved(address, fromSystemError(error));
  }
}

async function listenThere(address: SocketAddress, options: SocketOptions): Promise<net.Server> {
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

/** `signal` gives the attempt up, with ECANCELED. Errors: BlockError. */
export async function connectTo(
  given: SocketAddress,
  { noDelay }: SocketOptions,
  signal?: AbortSignal,
): Promise<net.Socket> {
  checkAddress(given);
  const address = await inFamily(given);
  if (address.type === 'fd') return new net.Socket({ fd: address.fd, allowHalfOpen: true });
  const socket = new net.Socket({ allowHalfOpen: true });
  // Nothing is read before somebody wants it.
  socket.pause();
  const target =
    address.type === 'unix'
      ? { path: asPath(address.path) }
      : { host: address.host, port: Number(address.port) };
  const give = (): void => void socket.destroy(new BlockError('ECANCELED'));
  signal?.addEventListener('abort', give);
  if (signal?.aborted) give();
  await new Promise<void>((resolve, reject) => {
    const context = `Failed to connect to '${describeAddress(address)}'`;
    socket.once('error', (error) =>
      reject(resolutionError(error, address) ?? fromSystemError(error).within(context)),
    );
    socket.once('connect', resolve);
    if (!socket.destroyed) socket.connect(target);
  }).finally(() => signal?.removeEventListener('abort', give));
  socket.removeAllListeners('error');
  socket.setNoDelay(noDelay);
  return socket;
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
  let context = 'Failed to bind socket';
  if (address.type === 'unix') context += ` to ${address.path}`;
  if (address.type === 'inet' && isTaken(error)) context = 'Failed to find an available port';
  // Node says EACCES where the directory does not exist.
  const isMissing = address.type === 'unix' && !fileExists(dirname(address.path));
  if (isMissing) return new BlockError('ENOENT').within(context);
  return resolutionError(error, address) ?? fromSystemError(error).within(context);
}

function resolutionError(error: Error, address: SocketAddress): BlockError | undefined {
  if ((error as NodeJS.ErrnoException).syscall !== 'getaddrinfo') return undefined;
  return unresolved(address, fromSystemError(error));
}

function unresolved(address: SocketAddress, reason: BlockError): BlockError {
  return reason.within(`address resolution failed for ${describeAddress(address)}`);
}

/** A socket left behind by a process that was killed would be in the way; anything else stays where it is. */
function removeStaleSocket(path: string): void {
  try {
    if (fs.lstatSync(path).isSocket()) fs.unlinkSync(path);
  } catch {
    // Whatever is wrong with the path, listening on it will say so.
  }
}
