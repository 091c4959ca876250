/**
 * Sockets whose peers have yet to make themselves known, by TLS or as a WebSocket: so many of them, each for so long. Whoever takes
 * longer, or is one too many, is let go.
 */
import type { Socket } from 'node:net';
import { BlockError } from '../../base/errors.ts';
import type { Connection } from '../connection.ts';
import type { Secure } from '../tls.ts';
import { StreamConnection } from './stream-connection.ts';

/** Peers that are awaited; more are turned away. */
const maxHandshaking = 128;
const usualLimitMs = 10_000;

export class Handshakes {
  /** With what ends their time. */
  private readonly awaited = new Map<Socket, NodeJS.Timeout>();

  constructor(private readonly limitMs = usualLimitMs) {}

  /** False: it is one too many, and gone. */
  admit(socket: Socket): boolean {
    if (this.awaited.size >= maxHandshaking) {
      socket.destroy();
      return false;
    }
    this.awaited.set(socket, setTimeout(() => socket.destroy(), this.limitMs).unref());
    socket.once('close', () => this.done(socket));
    // A peer may go away before anybody is told of it.
    socket.on('error', () => {});
    return true;
  }

  /** The peer is known, and has all the time there is. */
  done(socket: Socket): void {
    clearTimeout(this.awaited.get(socket));
    this.awaited.delete(socket);
  }

  /** TLS through a socket from which nothing has been read. Errors: BlockError; the socket is gone then. */
  async secure(socket: Socket, secure: Secure): Promise<Connection> {
    if (!this.admit(socket)) throw new BlockError('EBUSY', 'too many connections are being made');
    try {
      return await secure(new StreamConnection(socket, socket, () => socket.destroy()));
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      this.done(socket);
    }
  }

  /** Lets all of them go. */
  close(): void {
    for (const socket of this.awaited.keys()) socket.destroy();
  }
}
