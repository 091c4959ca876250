/**
 * A connection of a WebSocket (platform/websockets.ts), on either side.
 *
 * What is written goes out in messages of a bounded size. A peer that does not fetch what it is sent, that sends text, too large a
 * message or what is no WebSocket at all, or that is silently gone, loses its own connection and nothing else. Pings keep those
 * in between from taking an idle connection for a dead one.
 */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Connection, ConnectionHandlers } from '../connection.ts';
import { maxSentBytes } from '../websockets.ts';

/** Of what is received: the largest request of NBD fits, however it is cut. */
const maxMessageBytes = 33 << 20;
/** A peer has that long to fetch what was written before the end. */
const fetchingMs = 2_000;

/** What both sides of a connection are made with. */
export const webSocketOptions = {
  // Disks hold what is compressed already, and each connection would need memory for it.
  perMessageDeflate: false,
  maxPayload: maxMessageBytes,
  closeTimeout: fetchingMs,
} as const;

/** In that time an answer comes from a peer that is there. Proxies wait for a minute. */
const usualPingMs = 25_000;

/** Reasons to close (RFC 6455, section 7.4.1). */
const CloseCode = { normal: 1000, unsupportedData: 1003 } as const;

export class WebSocketConnection implements Connection {
  private handlers: ConnectionHandlers | undefined;
  private isClosed = false;
  private isPaused = false;
  private hasHeard = true;
  private pings: NodeJS.Timeout | undefined;

  /** Open, and nothing has been read from it. `socket`: that it goes through. */
  constructor(
    private readonly webSocket: WebSocket,
    private readonly socket: Socket,
    private readonly pingMs = usualPingMs,
  ) {
    webSocket.pause();
    // What the peer has done wrong is told to it, and the end follows.
    webSocket.on('error', () => {});
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    const { webSocket } = this;
    const hear = (): void => void (this.hasHeard = true);
    webSocket.on('ping', hear);
    webSocket.on('pong', hear);
    webSocket.on('message', (bytes: Buffer, isBinary) => {
      hear();
      this.receive(bytes, isBinary);
    });
    webSocket.on('close', () => this.closed());
    this.socket.on('drain', () => {
      if (!this.isClosed) handlers.drained();
    });
    this.pings = setInterval(() => this.ping(), this.pingMs).unref();
    this.resume();
    // It may have gone while nobody listened.
    if (webSocket.readyState === webSocket.CLOSED) this.closed();
  }

  write(bytes: Uint8Array, sent?: () => void): void {
    const { webSocket } = this;
    if (webSocket.readyState !== webSocket.OPEN) return;
    for (let at = 0; at < bytes.length; at += maxSentBytes) {
      const isLast = at + maxSentBytes >= bytes.length;
      webSocket.send(bytes.subarray(at, at + maxSentBytes), (error) => {
        if (isLast && !error) sent?.();
      });
    }
  }

  get unsentBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  pause(): void {
    this.isPaused = true;
    this.webSocket.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.hasHeard = true;
    this.webSocket.resume();
  }

  /** It cannot keep us from exiting for longer than a peer has to fetch what was written. */
  close(): void {
    if (this.isClosed) return;
    this.end();
    this.webSocket.close(CloseCode.normal);
    // The peer's own close comes behind what it has sent before.
    this.webSocket.resume();
    this.socket.unref();
  }

  private receive(bytes: Buffer, isBinary: boolean): void {
    const { webSocket } = this;
    if (this.isClosed || webSocket.readyState !== webSocket.OPEN) return;
    if (isBinary) this.handlers?.data(bytes);
    else webSocket.close(CloseCode.unsupportedData, 'only binary messages are taken');
  }

  private ping(): void {
    const { webSocket } = this;
    // From a peer that is not read from, nothing can be heard; what it does not fetch is TCP's affair.
    if (webSocket.readyState !== webSocket.OPEN || this.isPaused || webSocket.bufferedAmount > 0) return;
    if (this.hasHeard) webSocket.ping();
    else webSocket.terminate();
    this.hasHeard = false;
  }

  private closed(): void {
    if (this.isClosed) return;
    this.end();
    this.handlers?.closed();
  }

  private end(): void {
    this.isClosed = true;
    clearInterval(this.pings);
  }
}
