/**
 * The `socket` chardev: Unix and TCP sockets, listening or connecting, or a descriptor that was inherited; plain, or with Telnet
 * or WebSockets on them, or both.
 *
 * A listening socket serves one client at a time; those that come meanwhile wait their turn without a greeting, as in
 * the backlog of QEMU's sockets, and the next one is served when the one before is gone.
 */
import type * as net from 'node:net';
import { BlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { connectTo, listenOn, type SocketOptions } from '../../platform/node/sockets.ts';
import { endSocket, StreamConnection } from '../../platform/node/stream-connection.ts';
import type { WebSocketUpgrades } from '../../platform/node/websockets.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import { traceSocket } from '../shared/trace-socket.ts';
import type { Chardev } from './chardev.ts';
import { ReconnectingSocket } from './reconnecting-socket.ts';
import { type SocketPlace, socketName } from './socket-name.ts';
import { TelnetConnection } from './telnet.ts';

/** Clients that may wait; others are turned away. */
const maxWaiting = 16;

interface SocketChardevOptions extends SocketOptions {
  /** Telnet is spoken. */
  readonly telnet: boolean;
}

interface Client {
  readonly socket: net.Socket;
  readonly connection: Connection;
}

function plainConnection(socket: net.Socket): Connection {
  return new StreamConnection(socket, socket, () => endSocket(socket));
}

function connectionOf(telnet: boolean, { socket, connection }: Client, onClosed: () => void): Connection {
  socket.once('close', onClosed);
  return telnet ? new TelnetConnection(connection) : connection;
}

class ListeningSocket implements Chardev {
  private onConnection: ((connection: Connection) => void) | undefined;
  private readonly waiting: Client[] = [];
  private served: Client | undefined;
  /** Clients come by these. A page from elsewhere, which any browser may show, is no client. */
  private readonly upgrades: WebSocketUpgrades | undefined;
  private firstClient: () => void = () => {};
  private giveUp: (error: BlockError) => void = () => {};
  readonly whenReady: Promise<void>;

  constructor(
    private readonly server: net.Server,
    private readonly place: SocketPlace,
    waits: boolean,
    Upgrades: typeof WebSocketUpgrades | undefined,
  ) {
    this.whenReady = new Promise<void>((resolve, reject) => {
      [this.firstClient, this.giveUp] = [resolve, reject];
      if (!waits) resolve();
    });
    // Closing before anybody looks is no error.
    this.whenReady.catch(() => {});
    if (Upgrades) {
      const accept = (connection: Connection, socket: net.Socket): void => this.add({ socket, connection });
      this.upgrades = new Upgrades(() => ({ origins: [], accept }));
    }
    server.on('connection', (socket) => {
      traceSocket('chardev', socket);
      if (this.upgrades) this.upgrades.take(socket);
      else this.add({ socket: expectingErrors(socket), connection: plainConnection(socket) });
    });
    // Nobody can be let in just now (EMFILE); who waits in the backlog may be later.
    server.on('error', () => {});
  }

  get filename(): string {
    return socketName(this.place, (this.served ?? this.waiting[0])?.socket);
  }

  serve(onConnection: (connection: Connection) => void): void {
    this.onConnection = onConnection;
    this.next();
  }

  close(): void {
    this.onConnection = undefined;
    this.giveUp(new BlockError('ECANCELED'));
    for (const { socket } of this.waiting.splice(0)) socket.destroy();
    this.upgrades?.close();
    // Takes the socket's name away at once. Who is connected is for the user of the connection to end.
    this.server.close();
  }

  private add(client: Client): void {
    if (this.waiting.length >= maxWaiting) {
      client.socket.destroy();
      return;
    }
    // Who waits may go.
    client.socket.once('close', () => {
      const index = this.waiting.indexOf(client);
      if (index >= 0) this.waiting.splice(index, 1);
    });
    this.waiting.push(client);
    this.firstClient();
    this.next();
  }

  private next(): void {
    if (this.served || !this.onConnection) return;
    const client = this.waiting.shift();
    if (!client) return;
    this.served = client;
    this.onConnection(
      connectionOf(this.place.telnet, client, () => {
        this.served = undefined;
        this.next();
      }),
    );
  }
}

class ConnectedSocket implements Chardev {
  private readonly socket: net.Socket;

  constructor(
    socket: net.Socket,
    private readonly place: SocketPlace,
  ) {
    this.socket = expectingErrors(socket.pause());
  }

  get filename(): string {
    return socketName(this.place, this.socket);
  }

  serve(onConnection: (connection: Connection) => void): void {
    const { socket } = this;
    onConnection(connectionOf(this.place.telnet, { socket, connection: plainConnection(socket) }, () => {}));
  }

  close(): void {
    endSocket(this.socket);
  }
}

/** A peer may go away before anybody is told of it: then there is an error, and nobody else who hears of it. */
function expectingErrors(socket: net.Socket): net.Socket {
  return socket.on('error', () => {});
}

/** With `onWait`, it is told the chardev's name, and the chardev is ready when the first client has come. Errors: BlockError. */
export async function listen(
  address: SocketAddress,
  options: SocketChardevOptions & { webSocket: boolean },
  onWait?: (name: string) => void,
): Promise<Chardev> {
  const { telnet, webSocket } = options;
  // Few ask for them, and they come with a library.
  const Upgrades = webSocket
    ? (await import('../../platform/node/websockets.ts')).WebSocketUpgrades
    : undefined;
  const server = await listenOn(address, options);
  const place = { address: boundAddress(server, address), telnet, webSocket, isServer: true };
  onWait?.(socketName(place));
  return new ListeningSocket(server, place, onWait !== undefined, Upgrades);
}

/** Which address and port it is when a name, a range or any was asked for. */
function boundAddress(server: net.Server, asked: SocketAddress): SocketAddress {
  const bound = server.address();
  if (asked.type !== 'inet' || bound === null || typeof bound === 'string') return asked;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return { type: 'inet', host, port: String(bound.port) };
}

/** Errors: BlockError. */
export async function connect(address: SocketAddress, options: SocketChardevOptions): Promise<Chardev> {
  const place = { address, telnet: options.telnet, webSocket: false, isServer: false };
  return new ConnectedSocket(await connectTo(address, options), place);
}

/** `failed` is told why there is no connection. */
export function keepConnecting(
  address: SocketAddress,
  options: SocketChardevOptions & { delayMs: number },
  failed: (reason: string) => void,
): Chardev {
  const place = { address, telnet: options.telnet, webSocket: false, isServer: false };
  return new ReconnectingSocket({
    nameWith: (socket) => socketName(place, socket),
    delayMs: options.delayMs,
    connect: () => connectTo(address, options),
    connectionOf: (socket, onClosed) =>
      connectionOf(options.telnet, { socket, connection: plainConnection(socket) }, onClosed),
    failed,
  });
}
