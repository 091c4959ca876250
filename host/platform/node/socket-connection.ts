/**
 * A connection of a socket, which reads into the memory of who wants that (connection.ts): nothing is allocated for what
 * arrives, and it is not copied.
 *
 * Node lets a socket do so if it is made that way, which those that a server accepts are not. They are made again around
 * the same handle; where that cannot be had, what arrives is told as by any stream.
 */
import { type ConnectOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { ConnectionHandlers, Destination } from '../connection.ts';
import { endSocket, StreamConnection } from './stream-connection.ts';

export class SocketConnection extends StreamConnection {
  /** Paused, and nothing has been read from it. */
  constructor(private socket: Socket) {
    super(socket, socket, () => endSocket(this.socket));
  }

  override start(handlers: ConnectionHandlers): void {
    const { into } = handlers;
    const handle: unknown = Reflect.get(this.socket, '_handle');
    if (into && handle) {
      this.socket = readingInto(into, handle);
      this.input = this.socket;
      this.output = this.socket;
    }
    super.start(handlers);
  }
}

function readingInto(destination: Destination, handle: unknown): Socket {
  // The types know `onread` of sockets that connect, and `handle` not at all.
  const options: SocketConstructorOpts & Pick<ConnectOpts, 'onread'> & { handle: unknown } = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: () => destination.room(),
      callback: (bytes) => {
        destination.filled(bytes);
        return true;
      },
    },
  };
  return new Socket(options);
}
