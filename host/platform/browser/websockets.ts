/**
 * WebSockets of the browser (platform/websockets.ts): what a page has in place of sockets.
 *
 * A browser cannot be told to receive more slowly: what arrives while a connection is paused is kept, and who pauses has to have
 * asked for no more than that. Nor does it tell when something is on its way: that is looked at again and again.
 */
import { BlockError } from '../../base/errors.ts';
import type { Connection, ConnectionHandlers } from '../connection.ts';
import type { Timer } from '../platform.ts';
import { maxSentBytes, type WebSockets, webSocketHandshakeMs, webSocketProtocol } from '../websockets.ts';
import { clock } from './clock.ts';
import { causeFor } from './fetch.ts';

const lookAgainNs = 5_000_000;

export const webSockets: WebSockets = { connect };

function connect(url: string): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => {
      timer.cancel();
      reject(new BlockError('EIO', reason).within(`Failed to connect to '${url}'`));
    };
    const timer = clock.setTimer(webSocketHandshakeMs * 1e6, () => {
      fail('the server does not answer');
      webSocket?.close();
    });
    const webSocket = make(url, fail);
    if (!webSocket) return;
    webSocket.binaryType = 'arraybuffer';
    webSocket.onerror = () => fail(causeFor(url, 'connect'));
    webSocket.onopen = () => {
      timer.cancel();
      resolve(new WebSocketConnection(webSocket));
    };
  });
}

/** Undefined: the page may not, or the address is none. `fail` has been told then. */
function make(url: string, fail: (reason: string) => void): WebSocket | undefined {
  try {
    return new WebSocket(url, webSocketProtocol);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    fail(error.message);
    return undefined;
  }
}

class WebSocketConnection implements Connection {
  private handlers: ConnectionHandlers | undefined;
  private held: Uint8Array[] = [];
  private isPaused = false;
  private isDelivering = false;
  private isClosed = false;
  private timer: Timer | undefined;

  /** Open. */
  constructor(private readonly webSocket: WebSocket) {
    webSocket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (typeof data === 'string') webSocket.close();
      else this.receive(new Uint8Array(data));
    };
    webSocket.onerror = null;
    webSocket.onclose = () => this.deliver();
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    this.resume();
  }

  write(bytes: Uint8Array, sent?: () => void): void {
    const { webSocket } = this;
    if (webSocket.readyState !== WebSocket.OPEN) return;
    for (let at = 0; at < bytes.length; at += maxSentBytes) {
      // No memory here is shared.
      webSocket.send(bytes.subarray(at, at + maxSentBytes) as Uint8Array<ArrayBuffer>);
    }
    // The browser has a copy.
    sent?.();
    if (webSocket.bufferedAmount > 0) this.timer ??= clock.setTimer(lookAgainNs, () => this.look());
  }

  get unsentBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.deliver();
  }

  close(): void {
    this.isClosed = true;
    this.held = [];
    this.timer?.cancel();
    this.webSocket.close();
  }

  private receive(bytes: Uint8Array): void {
    if (this.isClosed) return;
    this.held.push(bytes);
    this.deliver();
  }

  private deliver(): void {
    const { handlers } = this;
    // What a handler resumes comes after what it is dealing with.
    if (!handlers || this.isDelivering) return;
    this.isDelivering = true;
    while (!this.isPaused) {
      const bytes = this.held.shift();
      if (!bytes) break;
      handlers.data(bytes);
    }
    this.isDelivering = false;
    const isOver = this.webSocket.readyState === WebSocket.CLOSED && this.held.length === 0;
    if (!isOver || this.isClosed) return;
    this.close();
    handlers.closed();
  }

  private look(): void {
    this.timer = undefined;
    const { readyState, bufferedAmount } = this.webSocket;
    if (readyState !== WebSocket.OPEN || this.isClosed) return;
    if (bufferedAmount === 0) this.handlers?.drained();
    else this.timer = clock.setTimer(lookAgainNs, () => this.look());
  }
}
