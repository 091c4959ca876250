/**
 * WebSockets on Node: who listens, who connects (platform/websockets.ts).
 *
 * A server speaks HTTP until a client has been upgraded, and answers nothing else. Who may come is looked at before: any page that
 * a browser shows can ask servers on the same machine, and its origin is all that tells it from others. A client that takes too long
 * for its request, sends another one or is one too many is let go.
 */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { BlockError } from '../../base/errors.ts';
import type { Connection } from '../connection.ts';
import type { Listener, SocketAddress } from '../sockets.ts';
import { type WebSocketService, webSocketHandshakeMs, webSocketProtocol } from '../websockets.ts';
import { fromSystemError } from './errors.ts';
import { listenOn } from './sockets.ts';
import { StreamConnection } from './stream-connection.ts';
import { WebSocketConnection, webSocketOptions } from './websocket-connection.ts';

/** Clients that are not upgraded yet; more are turned away. */
const maxHandshaking = 128;
const maxHeaderBytes = 8192;

type SecureClient = (connection: Connection) => Promise<Connection>;

/** Upgrades sockets that somebody has accepted. */
export class WebSocketUpgrades {
  private readonly upgrader = new WebSocketServer({
    ...webSocketOptions,
    noServer: true,
    clientTracking: false,
    handleProtocols: () => webSocketProtocol,
  });
  private readonly http: Server;
  /** With what ends their time. */
  private readonly handshaking = new Map<Socket, NodeJS.Timeout>();

  /** `find`: as of `WebSockets.listen`; its service is told of the socket, too. */
  constructor(
    private readonly find: (path: string) => UpgradingService | undefined,
    private readonly handshakeMs = webSocketHandshakeMs,
  ) {
    this.http = createServer({ maxHeaderSize: maxHeaderBytes });
    this.http.on('upgrade', (request, _, head) => this.upgrade(request, head));
    this.http.on('request', ({ socket }) =>
      refuse(socket, 426, 'Here are WebSockets only', ['Upgrade: websocket']),
    );
    this.http.on('clientError', (_, socket) => socket.destroy());
  }

  /** Nothing has been read from `socket`. It is the service's once it is upgraded, and gone otherwise. */
  take(socket: Socket): void {
    if (!this.admit(socket)) return;
    this.http.emit('connection', socket);
    socket.resume();
  }

  /** As `take`, of a socket through which `secure` speaks TLS first. */
  async takeSecured(socket: Socket, secure: SecureClient): Promise<void> {
    if (!this.admit(socket)) return;
    const connection = await secure(new StreamConnection(socket, socket, () => socket.destroy())).catch(
      // It has been told, or gone by itself.
      () => undefined,
    );
    const secured = connection instanceof StreamConnection ? connection.handOver() : undefined;
    this.forget(socket);
    if (secured) this.take(secured);
    else socket.destroy();
  }

  /** False: it is one too many, and gone. It has a limited time. */
  private admit(socket: Socket): boolean {
    if (this.handshaking.size >= maxHandshaking) {
      socket.destroy();
      return false;
    }
    this.handshaking.set(socket, setTimeout(() => socket.destroy(), this.handshakeMs).unref());
    socket.once('close', () => this.forget(socket));
    // A client may go away before anybody is told of it.
    socket.on('error', () => {});
    return true;
  }

  /** Lets those go that are not upgraded. */
  close(): void {
    for (const socket of this.handshaking.keys()) socket.destroy();
  }

  private upgrade(request: IncomingMessage, head: Buffer): void {
    const { socket } = request;
    const service = this.find(pathOf(request));
    if (!service) {
      refuse(socket, 404, 'There is nothing under this path');
    } else if (!mayCome(request, service.origins)) {
      refuse(socket, 403, 'Pages of this origin may not connect');
    } else if (!speaksOurs(request)) {
      refuse(socket, 400, `The subprotocol is '${webSocketProtocol}'`);
    } else {
      this.upgrader.handleUpgrade(request, socket, head, (webSocket) => {
        this.forget(socket);
        socket.setNoDelay(true);
        service.accept(new WebSocketConnection(webSocket, socket), socket);
      });
    }
  }

  private forget(socket: Socket): void {
    clearTimeout(this.handshaking.get(socket));
    this.handshaking.delete(socket);
  }
}

/** As `WebSocketService`, for who also wants to know the socket. */
interface UpgradingService extends Pick<WebSocketService, 'origins'> {
  accept(connection: Connection, socket: Socket): void;
}

/** As `WebSockets.listen`. */
export async function listenForWebSockets(
  address: SocketAddress,
  find: (path: string) => WebSocketService | undefined,
  secure?: SecureClient,
): Promise<Listener> {
  const server = await listenOn(address, { noDelay: true });
  const upgrades = new WebSocketUpgrades(find);
  server.on('connection', (socket) => {
    if (secure) void upgrades.takeSecured(socket, secure);
    else upgrades.take(socket);
  });
  // Nobody can be let in just now (EMFILE); who waits in the backlog may be later.
  server.on('error', () => {});
  return {
    close() {
      server.close();
      upgrades.close();
    },
  };
}

/** As `WebSockets.connect`. */
export function connectWebSocket(url: string): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const failed = (error: BlockError): void => reject(error.within(`Failed to connect to '${url}'`));
    const options = { ...webSocketOptions, handshakeTimeout: webSocketHandshakeMs };
    const webSocket = new WebSocket(url, webSocketProtocol, options);
    let socket: Socket;
    webSocket.once('upgrade', (response) => {
      ({ socket } = response);
    });
    webSocket.once('open', () => resolve(new WebSocketConnection(webSocket, socket)));
    webSocket.once('unexpected-response', (request, { statusCode, statusMessage }) => {
      request.destroy();
      failed(new BlockError('EIO', `the server answers ${statusCode} ${statusMessage}`));
    });
    // What comes after the first is of no interest.
    webSocket.on('error', (error) => failed(asConnectError(error)));
  });
}

/** Some are the system's, some of TLS or the library: those have no number. */
function asConnectError(error: Error): BlockError {
  if ('errno' in error) return fromSystemError(error);
  return new BlockError('EIO', error.message, { cause: error });
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.replace(/[?#].*/s, '');
}

/**
 * A page that is served under the same name is not foreign; but a name can be made to point at us once a page of it is loaded, so it
 * has to be one that nobody else can have.
 */
function mayCome({ headers }: IncomingMessage, origins: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined || origins.includes('*') || origins.includes(origin)) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  const { host: authority, hostname } = new URL(origin);
  const isOwn = hostname === 'localhost' || isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0;
  return isOwn && authority === host.toLowerCase();
}

/** A client that names no subprotocol takes any. */
function speaksOurs({ headers }: IncomingMessage): boolean {
  const offered = headers['sec-websocket-protocol'];
  return offered === undefined || offered.split(',').some((name) => name.trim() === webSocketProtocol);
}

function refuse(socket: Socket, status: number, reason: string, headers: readonly string[] = []): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    ...headers,
    'Content-Type: text/plain',
    `Content-Length: ${reason.length + 1}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${reason}\n`, () => socket.destroy());
}
