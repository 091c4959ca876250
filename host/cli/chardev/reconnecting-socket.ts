/**
 * A socket that connects, and connects again a while after its peer has gone or was not there (`reconnect-ms=N`). Nobody waits for
 * the first connection. Only the first failure of a row is told.
 */
import type * as net from 'node:net';
import { asBlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import type { Chardev } from './chardev.ts';

interface Reconnection {
  /** Milliseconds. */
  readonly delayMs: number;
  connect(): Promise<net.Socket>;
  /** `onClosed` is called when the connection is over, whoever ends it. */
  connectionOf(socket: net.Socket, onClosed: () => void): Connection;
  /** The reason why there is no connection. */
  failed(reason: string): void;
}

export class ReconnectingSocket implements Chardev {
  private socket: net.Socket | undefined;
  private onConnection: ((connection: Connection) => void) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private hasFailed = false;

  constructor(private readonly how: Reconnection) {
    void this.connect();
  }

  serve(onConnection: (connection: Connection) => void): void {
    this.onConnection = onConnection;
    this.handOver();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    // Who is connected is for the user of the connection to end.
    this.socket?.destroy();
  }

  private async connect(): Promise<void> {
    const { how } = this;
    try {
      const socket = await how.connect();
      socket.on('error', () => {});
      this.hasFailed = false;
      this.socket = socket.pause();
      if (this.isClosed) socket.destroy();
      else this.handOver();
    } catch (error) {
      if (!this.hasFailed && !this.isClosed) how.failed(asBlockError(error).message);
      this.hasFailed = true;
      this.again();
    }
  }

  private handOver(): void {
    const { socket, onConnection } = this;
    if (!socket || !onConnection) return;
    this.socket = undefined;
    onConnection(this.how.connectionOf(socket, () => this.again()));
  }

  private again(): void {
    if (this.isClosed) return;
    this.timer = setTimeout(() => void this.connect(), this.how.delayMs).unref();
  }
}
