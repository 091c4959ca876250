/**
 * The `socket` chardev: Unix and TCP sockets, listening or connecting, or a descriptor that was inherited; plain, or with Telnet
 * or WebSockets on them, or both; in the clear, or by TLS.
 *
 * A listening socket serves one client at a time; those that come meanwhile wait their turn without a greeting, as in
 * the backlog of QEMU's sockets, and the next one is served when the one before is gone.
 */
import type * as net from 'node:net';
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { Handshakes } from '../../platform/node/handshakes.ts';
import { connectTo, listenOn, type SocketOptions } from '../../platform/node/sockets.ts';
import { endSocket, StreamConnection } from '../../platform/node/stream-connection.ts';
import type { WebSocketUpgrades } from '../../platform/node/websockets.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import type { Secure } from '../../platform/tls.ts';
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
  /** TLS is spoken before all else, by this. Absent: it is not. */
  readonly secure?: Secure;
}

interface ListeningOptions extends SocketChardevOptions {
  readonly webSocket: boolean;
  /** Why somebody who came was not let in. */
  refused(reason: string): void;
}

/** The other end of a chardev. */
export interface Peer {
  readonly socket: net.Socket;
  readonly connection: Connection;
}

function plainConnection(socket: net.Socket): Connection {
  return new StreamConnection(socket, socket, () => endSocket(socket));
}

function connectionOf(telnet: boolean, { socket, connection }: Peer, onClosed: () => void): Connection {
  socket.once('close', onClosed);
  return telnet ? new TelnetConnection(connection) : connection;
}

class ListeningSocket implements Chardev {
  private onConnection: ((connection: Connection) => void) | undefined;
  private readonly waiting: Peer[] = [];
  private served: Peer | undefined;
  /** Clients come by these. A page from elsewhere, which any browser may show, is no client. */
  private readonly upgrades: WebSocketUpgrades | undefined;
  private readonly handshakes = new Handshakes();
  private firstClient: () => void = () => {};
  private giveUp: (error: BlockError) => void = () => {};
  readonly whenReady: Promise<void>;

  constructor(
    private readonly server: net.Server,
    private readonly place: SocketPlace,
    private readonly options: ListeningOptions,
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
      this.admit(socket).catch((error: unknown) => options.refused(asBlockError(error).message));
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
    this.handshakes.close();
    // Takes the socket's name away at once. Who is connected is for the user of the connection to end.
    this.server.close();
  }

  /** Errors: BlockError, why the client is not let in. */
  private async admit(socket: net.Socket): Promise<void> {
    const { secure } = this.options;
    const { upgrades } = this;
    if (!secure) {
      if (upgrades) upgrades.take(socket);
      else this.add({ socket: expectingErrors(socket), connection: plainConnection(socket) });
    } else if (upgrades) await upgrades.takeSecured(socket, secure);
    else this.add({ socket, connection: await this.handshakes.secure(socket, secure) });
  }

  private add(client: Peer): void {
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
  constructor(
    private readonly peer: Peer,
    private readonly place: SocketPlace,
  ) {}

  get filename(): string {
    return socketName(this.place, this.peer.socket);
  }

  serve(onConnection: (connection: Connection) => void): void {
    onConnection(connectionOf(this.place.telnet, this.peer, () => {}));
  }

  close(): void {
    this.peer.connection.close();
  }
}

/** A peer may go away before anybody is told of it: then there is an error, and nobody else who hears of it. */
function expectingErrors(socket: net.Socket): net.Socket {
  return socket.on('error', () => {});
}

/** With `onWait`, it is told the chardev's name, and the chardev is ready when the first client has come. Errors: BlockError. */
export async function listen(
  address: SocketAddress,
  options: ListeningOptions,
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
  return new ListeningSocket(server, place, options, onWait !== undefined, Upgrades);
}

/** Which address and port it is when a name, a range or any was asked for. */
function boundAddress(server: net.Server, asked: SocketAddress): SocketAddress {
  const bound = server.address();
  if (asked.type !== 'inet' || bound === null || typeof bound === 'string') return asked;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return { type: 'inet', host, port: String(bound.port) };
}

/** Errors: BlockError. */
async function peerAt(address: SocketAddress, { secure, ...options }: SocketChardevOptions): Promise<Peer> {
  const socket = expectingErrors((await connectTo(address, options)).pause());
  const connection = secure ? new Handshakes().secure(socket, secure) : plainConnection(socket);
  return { socket, connection: await connection };
}

/** Errors: BlockError. */
export async function connect(address: SocketAddress, options: SocketChardevOptions): Promise<Chardev> {
  const place = { address, telnet: options.telnet, webSocket: false, isServer: false };
  return new ConnectedSocket(await peerAt(address, options), place);
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
    connect: () => peerAt(address, options),
    connectionOf: (peer, onClosed) => connectionOf(options.telnet, peer, onClosed),
    failed,
  });
}
