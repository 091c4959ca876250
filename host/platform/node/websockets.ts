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
import type { Secure } from '../tls.ts';
import { type WebSocketService, webSocketHandshakeMs, webSocketProtocol } from '../websockets.ts';
import { fromSystemError } from './errors.ts';
import { Handshakes } from './handshakes.ts';
import { connectTo, listenOn } from './sockets.ts';
import { StreamConnection } from './stream-connection.ts';
import { WebSocketConnection, webSocketOptions } from './websocket-connection.ts';

const maxHeaderBytes = 8192;

/** Upgrades sockets that somebody has accepted. */
export class WebSocketUpgrades {
  private readonly upgrader = new WebSocketServer({
    ...webSocketOptions,
    noServer: true,
    clientTracking: false,
    handleProtocols: () => webSocketProtocol,
  });
  private readonly http: Server;
  private readonly handshakes: Handshakes;

  /** `find`: as of `WebSockets.listen`; its service is told of the socket, too. */
  constructor(
    private readonly find: (path: string) => UpgradingService | undefined,
    handshakeMs = webSocketHandshakeMs,
  ) {
    this.handshakes = new Handshakes(handshakeMs);
    this.http = createServer({ maxHeaderSize: maxHeaderBytes });
    this.http.on('upgrade', (request, _, head) => this.upgrade(request, head));
    this.http.on('request', ({ socket }) =>
      refuse(socket, 426, 'Here are WebSockets only', ['Upgrade: websocket']),
    );
    this.http.on('clientError', (_, socket) => socket.destroy());
  }

  /** Nothing has been read from `socket`. It is the service's once it is upgraded, and gone otherwise. */
  take(socket: Socket): void {
    if (!this.handshakes.admit(socket)) return;
    this.http.emit('connection', socket);
    socket.resume();
  }

  /** As `take`, of a socket through which `secure` speaks TLS first. Errors: BlockError; the socket is gone then. */
  async takeSecured(socket: Socket, secure: Secure): Promise<void> {
    const connection = await this.handshakes.secure(socket, secure);
    const secured = connection instanceof StreamConnection ? connection.handOver() : undefined;
    if (secured) this.take(secured);
    else socket.destroy();
  }

  /** Lets those go that are not upgraded. */
  close(): void {
    this.handshakes.close();
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
        this.handshakes.done(socket);
        socket.setNoDelay(true);
        service.accept(new WebSocketConnection(webSocket, socket), socket);
      });
    }
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
  secure?: Secure,
): Promise<Listener> {
  const server = await listenOn(address, { noDelay: true });
  const upgrades = new WebSocketUpgrades(find);
  server.on('connection', (socket) => {
    // Who does not come to it has been told, or gone by itself.
    if (secure) upgrades.takeSecured(socket, secure).catch(() => {});
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
export async function connectWebSocket(url: string, secure?: Secure): Promise<Connection> {
  try {
    return await upgraded(url, secure && (await securedSocket(url, secure)));
  } catch (error) {
    throw asConnectError(error).within(`Failed to connect to '${url}'`);
  }
}

/** A socket to the server of `url`, through which TLS is spoken already. Errors: BlockError. */
async function securedSocket(url: string, secure: Secure): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const address = { type: 'inet', host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port || '443' } as const;
  const signal = AbortSignal.timeout(webSocketHandshakeMs);
  const socket = await connectTo(address, { noDelay: true }, signal).catch((error: unknown) => {
    throw signal.aborted ? new BlockError('ETIMEDOUT') : error;
  });
  const connection = await new Handshakes(webSocketHandshakeMs).secure(socket, secure);
  const secured = connection instanceof StreamConnection ? connection.handOver() : undefined;
  if (!secured) throw new BlockError('EIO', 'Connection reset by peer');
  return secured;
}

/** `secured`: what is used in place of a socket of the library's. */
function upgraded(url: string, secured: Socket | undefined): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const options = { ...webSocketOptions, handshakeTimeout: webSocketHandshakeMs };
    // Nothing comes before it is asked for.
    const createConnection = secured && (() => secured.resume());
    const webSocket = new WebSocket(url, webSocketProtocol, { ...options, createConnection });
    let socket: Socket;
    webSocket.once('upgrade', (response) => {
      ({ socket } = response);
    });
    webSocket.once('open', () => resolve(new WebSocketConnection(webSocket, socket)));
    webSocket.once('unexpected-response', (request, { statusCode, statusMessage }) => {
      request.destroy();
      reject(new BlockError('EIO', `the server answers ${statusCode} ${statusMessage}`));
    });
    // What comes after the first is of no interest.
    webSocket.on('error', reject);
  });
}

/** Some are the system's, some of TLS or the library: those have no number. */
function asConnectError(error: unknown): BlockError {
  if (!(error instanceof Error) || error instanceof BlockError || 'errno' in error)
    return fromSystemError(error);
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
