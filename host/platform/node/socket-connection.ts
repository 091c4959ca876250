/**
 * A connection of a socket, which reads into the memory of who wants that (connection.ts): nothing is allocated for what
 * arrives, and it is not copied.
 *
 * Node lets a socket do so if it is made that way, which those that a server accepts are not. They are made again around
 * the same handle; where that cannot be had, what arrives is told as by any stream. What is written goes to the kernel at once, as far
 * as that takes it (socket-calls.ts).
 */
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { ConnectionHandlers, Destination, Outgoing } from '../connection.ts';
import { socketCalls } from './socket-calls.ts';
import { endSocket, StreamConnection } from './stream-connection.ts';
import { wakefulness } from './wakefulness.ts';

/** What a socket knows of itself on POSIX; the types do not. */
interface Handle {
  /** Below 0: it has none any more. */
  readonly fd?: number;
}

export class SocketConnection extends StreamConnection {
  /** Undefined: what arrives comes by the stream. */
  private handle: Handle | undefined;

  /** Paused, and nothing has been read from it. */
  constructor(private socket: Socket) {
    super(socket, socket, () => endSocket(this.socket));
  }

  override start(handlers: ConnectionHandlers): void {
    const { into } = handlers;
    const handle = Reflect.get(this.socket, '_handle') as Handle | null;
    if (into && handle) {
      const { fd = -1 } = handle;
      const isLocal = this.socket.remoteAddress === undefined;
      if (isLocal && fd >= 0) socketCalls()?.enlargeSendBuffer(fd);
      this.socket = readingInto(into, handle);
      this.input = this.socket;
      this.output = this.socket;
      this.handle = handle;
    }
    super.start(handlers);
  }

  override write(bytes: Uint8Array, sent?: () => void): void {
    this.writeAll([{ bytes, sent }]);
  }

  /** What the kernel does not take at once goes behind, by the stream. */
  writeAll(pieces: readonly Outgoing[]): void {
    // Of the others nobody would tell that they have answered.
    if (this.handle) wakefulness.wrote();
    let taken = this.writeAtOnce(pieces);
    for (const { bytes, sent } of pieces) {
      if (taken >= bytes.length) sent?.();
      else super.write(bytes.subarray(taken), sent);
      taken = Math.max(0, taken - bytes.length);
    }
  }

  /** How many bytes of the pieces are on their way: none while others wait, or where it takes the stream. */
  private writeAtOnce(pieces: readonly Outgoing[]): number {
    const { socket, handle } = this;
    if (!socket.writable || socket.writableLength > 0) return 0;
    const fd = handle?.fd ?? -1;
    return fd < 0 ? 0 : (socketCalls()?.write(fd, pieces) ?? 0);
  }
}

function readingInto(destination: Destination, handle: Handle): Socket {
  // The types know `onread` of sockets that connect, and `handle` not at all.
  const options: SocketConstructorOpts & Pick<ConnectOpts, 'onread'> & { handle: unknown } = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: () => destination.room(),
      callback: (bytes) => {
        wakefulness.heard();
        destination.filled(bytes);
        return true;
      },
    },
  };
  return new Socket(options);
}
