/**
 * The `socket` chardev: Unix and TCP sockets, listening or connecting, or a descriptor that was inherited.
 *
 * A listening socket serves one client at a time; those that come meanwhile wait their turn without a greeting, as in
 * the backlog of QEMU's sockets, and the next one is served when the one before is gone.
 */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { BlockError, invalid } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { traceSocket } from '../shared/trace-socket.ts';
import type { Chardev } from './chardev.ts';
import { systemError } from './file.ts';
import { endSocket, StreamConnection } from './stream-connection.ts';

export type SocketAddress =
  | { type: 'unix'; path: string }
  | { type: 'inet'; host: string; port: string }
  | { type: 'fd'; fd: number };

interface SocketOptions {
  /** What is written goes out at once, however little it is. */
  noDelay: boolean;
}

/** Clients that may wait; others are turned away. */
const maxWaiting = 16;
const maxUnixPathBytes = 107;
const maxPort = 65_535;

function describe(address: SocketAddress): string {
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
      `address resolution failed for ${describe(address)}: Servname not supported for ai_socktype`,
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

function connectionOf(socket: net.Socket, onClosed: () => void): Connection {
  socket.once('close', onClosed);
  return new StreamConnection(socket, socket, () => endSocket(socket));
}

class ListeningSocket implements Chardev {
  private onConnection: ((connection: Connection) => void) | undefined;
  private readonly waiting: net.Socket[] = [];
  private isServing = false;
  private firstClient: () => void = () => {};
  private giveUp: (error: BlockError) => void = () => {};
  readonly whenReady: Promise<void>;

  constructor(
    private readonly server: net.Server,
    waits: boolean,
  ) {
    this.whenReady = new Promise<void>((resolve, reject) => {
      [this.firstClient, this.giveUp] = [resolve, reject];
      if (!waits) resolve();
    });
    // Closing before anybody looks is no error.
    this.whenReady.catch(() => {});
    server.on('connection', (socket) => {
      if (this.waiting.length >= maxWaiting) {
        socket.destroy();
        return;
      }
      traceSocket('chardev', socket);
      this.waiting.push(expectingErrors(socket));
      this.firstClient();
      this.next();
    });
    // Nobody can be let in just now (EMFILE); who waits in the backlog may be later.
    server.on('error', () => {});
  }

  serve(onConnection: (connection: Connection) => void): void {
    this.onConnection = onConnection;
    this.next();
  }

  close(): void {
    this.onConnection = undefined;
    this.giveUp(new BlockError('ECANCELED'));
    for (const socket of this.waiting.splice(0)) socket.destroy();
    // Takes the socket's name away at once. Who is connected is for the user of the connection to end.
    this.server.close();
  }

  private next(): void {
    if (this.isServing || !this.onConnection) return;
    const socket = this.waiting.shift();
    if (!socket) return;
    this.isServing = true;
    this.onConnection(
      connectionOf(socket, () => {
        this.isServing = false;
        this.next();
      }),
    );
  }
}

class ConnectedSocket implements Chardev {
  private readonly socket: net.Socket;

  constructor(socket: net.Socket) {
    this.socket = expectingErrors(socket.pause());
  }

  serve(onConnection: (connection: Connection) => void): void {
    onConnection(connectionOf(this.socket, () => {}));
  }

  close(): void {
    endSocket(this.socket);
  }
}

/** A peer may go away before anybody is told of it: then there is an error, and nobody else who hears of it. */
function expectingErrors(socket: net.Socket): net.Socket {
  return socket.on('error', () => {});
}

/** With `onWait`, it is told so, and the chardev is ready when the first client has come. Errors: BlockError. */
export async function listen(
  address: SocketAddress,
  options: SocketOptions,
  onWait?: () => void,
): Promise<Chardev> {
  checkAddress(address);
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, ...options });
  if (address.type === 'unix') removeStaleSocket(address.path);
  await settled(server, 'listening', () => server.listen(listenOptions(address)), bindError(address));
  onWait?.();
  return new ListeningSocket(server, onWait !== undefined);
}

/** Errors: BlockError. */
export async function connect(address: SocketAddress, { noDelay }: SocketOptions): Promise<Chardev> {
  checkAddress(address);
  if (address.type === 'fd') {
    return new ConnectedSocket(new net.Socket({ fd: address.fd, allowHalfOpen: true }));
  }
  const socket = new net.Socket({ allowHalfOpen: true });
  const target =
    address.type === 'unix'
      ? { path: asPath(address.path) }
      : { host: address.host, port: Number(address.port) };
  await settled(
    socket,
    'connect',
    () => socket.connect(target),
    (error) =>
      resolutionError(error, address) ?? systemError(error, `Failed to connect to '${describe(address)}'`),
  );
  socket.setNoDelay(noDelay);
  return new ConnectedSocket(socket);
}

function listenOptions(address: SocketAddress): net.ListenOptions & { fd?: number } {
  if (address.type === 'unix') return { path: asPath(address.path) };
  if (address.type === 'fd') return { fd: address.fd };
  return { port: Number(address.port), ...(address.host === '' ? {} : { host: address.host }) };
}

function bindError(address: SocketAddress): (error: Error) => BlockError {
  const context =
    address.type === 'unix' ? `Failed to bind socket to ${address.path}` : 'Failed to bind socket';
  return (error) => {
    // Node says EACCES where the directory does not exist.
    const isMissing = address.type === 'unix' && !fileExists(dirname(address.path));
    if (isMissing) return new BlockError('ENOENT').within(context);
    return resolutionError(error, address) ?? systemError(error, context);
  };
}

function resolutionError(error: Error, address: SocketAddress): BlockError | undefined {
  if ((error as NodeJS.ErrnoException).syscall !== 'getaddrinfo') return undefined;
  return systemError(error, `address resolution failed for ${describe(address)}`);
}

/** A socket left behind by a process that was killed would be in the way; anything else stays where it is. */
function removeStaleSocket(path: string): void {
  try {
    if (fs.lstatSync(path).isSocket()) fs.unlinkSync(path);
  } catch {
    // Whatever is wrong with the path, listening on it will say so.
  }
}

async function settled(
  emitter: net.Server | net.Socket,
  event: string,
  begin: () => void,
  toBlockError: (error: Error) => BlockError,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => reject(toBlockError(error));
    emitter.once('error', fail);
    emitter.once(event, () => {
      emitter.off('error', fail);
      resolve();
    });
    begin();
  });
}
