/**
 * A socket that connects, and connects again a while after its peer has gone or was not there (`reconnect-ms=N`). Nobody waits for
 * the first connection. Only the first failure of a row is told.
 */
import type * as net from 'node:net';
import { asBlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import type { Chardev } from './chardev.ts';
import type { Peer } from './socket.ts';

interface Reconnection {
  /** Milliseconds. */
  readonly delayMs: number;
  /** Of what it is now, with the connection if there is one. */
  nameWith(socket: net.Socket | undefined): string;
  connect(): Promise<Peer>;
  /** `onClosed` is called when the connection is over, whoever ends it. */
  connectionOf(peer: Peer, onClosed: () => void): Connection;
  /** The reason why there is no connection. */
  failed(reason: string): void;
}

export class ReconnectingSocket implements Chardev {
  private peer: Peer | undefined;
  private isHandedOver = false;
  private onConnection: ((connection: Connection) => void) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private hasFailed = false;

  constructor(private readonly how: Reconnection) {
    void this.connect();
  }

  get filename(): string {
    return this.how.nameWith(this.peer?.socket);
  }

  serve(onConnection: (connection: Connection) => void): void {
    this.onConnection = onConnection;
    this.handOver();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    // Who is connected is for the user of the connection to end.
    if (!this.isHandedOver) this.peer?.connection.close();
  }

  private async connect(): Promise<void> {
    const { how } = this;
    try {
      this.peer = await how.connect();
      this.hasFailed = false;
      this.isHandedOver = false;
      if (this.isClosed) this.peer.connection.close();
      else this.handOver();
    } catch (error) {
      if (!this.hasFailed && !this.isClosed) how.failed(asBlockError(error).message);
      this.hasFailed = true;
      this.again();
    }
  }

  private handOver(): void {
    const { peer, onConnection } = this;
    if (!peer || !onConnection || this.isHandedOver) return;
    this.isHandedOver = true;
    onConnection(this.how.connectionOf(peer, () => this.again()));
  }

  private again(): void {
    if (this.isClosed) return;
    this.timer = setTimeout(() => void this.connect(), this.how.delayMs).unref();
  }
}
