/** A connection made of Node streams. */
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { Connection, ConnectionHandlers } from '../connection.ts';

/** A peer has that long to fetch what was written before the end. */
const fetchingMs = 2_000;

/** What was written goes out first; the peer need not have closed its side. It cannot keep us from exiting. */
export function endSocket(socket: Socket): void {
  socket.end(() => socket.destroy());
  socket.unref();
  // Node waits for what is being written, whatever is unreferenced.
  if (socket.writableLength > 0) setTimeout(() => socket.destroy(), fetchingMs).unref();
}

export class StreamConnection implements Connection {
  private handlers: ConnectionHandlers | undefined;
  private isClosed = false;

  constructor(
    protected input: Readable | undefined,
    protected output: Writable | undefined,
    /** What `close` does to the streams. */
    private release: () => void,
  ) {}

  /**
   * Gives the socket to whoever speaks TLS through it: nothing more arrives here, and closing this ends it at once. Undefined: it
   * is no socket, or closed.
   */
  handOver(): Socket | undefined {
    const { input } = this;
    if (!(input instanceof Socket) || this.isClosed) return undefined;
    input.pause();
    for (const event of ['data', 'end', 'drain', 'error', 'close']) input.removeAllListeners(event);
    input.on('error', () => {});
    this.release = () => input.destroy();
    return input;
  }

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    const { input, output } = this;
    input?.on('data', (bytes: Uint8Array) => handlers.data(bytes));
    input?.on('end', () => handlers.ended());
    output?.on('drain', () => handlers.drained());
    for (const stream of new Set([input, output])) {
      // The other side may go away at any time; whatever the reason, the connection is over.
      stream?.on('error', () => this.closed());
      stream?.on('close', () => this.closed());
    }
    input?.resume();
    // It may have gone while nobody listened.
    if (input?.destroyed || output?.destroyed) this.closed();
  }

  write(bytes: Uint8Array, sent?: () => void): void {
    if (!this.output?.writable) return;
    if (sent) this.output.write(bytes, (error) => !error && sent());
    else this.output.write(bytes);
  }

  get unsentBytes(): number {
    return this.output?.writableLength ?? 0;
  }

  pause(): void {
    this.input?.pause();
  }

  resume(): void {
    this.input?.resume();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.release();
  }

  private closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.release();
    this.handlers?.closed();
  }
}
