/**
 * The `socket` chardev: Unix and TCP sockets, listening or connecting, or a descriptor that was inherited.
 *
 * A listening socket serves one client at a time; those that come meanwhile wait their turn without a greeting, as in
 * the backlog of QEMU's sockets, and the next one is served when the one before is gone.
 */
import type * as net from 'node:net';
import { BlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { connectTo, listenOn, type SocketOptions } from '../../platform/node/sockets.ts';
import { endSocket, StreamConnection } from '../../platform/node/stream-connection.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import { traceSocket } from '../shared/trace-socket.ts';
import type { Chardev } from './chardev.ts';

/** Clients that may wait; others are turned away. */
const maxWaiting = 16;
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
  const server = await listenOn(address, options);
  onWait?.();
  return new ListeningSocket(server, onWait !== undefined);
}

/** Errors: BlockError. */
export async function connect(address: SocketAddress, options: SocketOptions): Promise<Chardev> {
  return new ConnectedSocket(await connectTo(address, options));
}
