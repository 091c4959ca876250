/**
 * Two connections that are each other's peer, in one process: what one writes is the other's data, in the same turn of the
 * event loop.
 *
 * It is held back, and counts as unsent, while the peer has not started, is paused or has not dealt with what came before.
 * The side that closes hears nothing more; the other gets all that was written, and is told then.
 */
import type { Connection, ConnectionHandlers } from './connection.ts';

export function joinedConnections(): [Connection, Connection] {
  const one = new End();
  const other = new End();
  one.peer = other;
  other.peer = one;
  return [one, other];
}

class End implements Connection {
  /** Undefined when either side has closed. */
  peer: End | undefined;
  private handlers: ConnectionHandlers | undefined;
  private held: Uint8Array[] = [];
  private heldBytes = 0;
  private isPaused = false;
  private isDelivering = false;
  /** The peer has been left with something unsent, and waits to hear that it is on its way. */
  private isAwaited = false;

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    this.deliver();
  }

  write(bytes: Uint8Array): void {
    this.peer?.receive(bytes);
  }

  get unsentBytes(): number {
    return this.peer?.heldBytes ?? 0;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.deliver();
  }

  close(): void {
    const { peer } = this;
    this.handlers = undefined;
    this.held = [];
    this.peer = undefined;
    if (!peer) return;
    peer.peer = undefined;
    peer.deliver();
  }

  private receive(bytes: Uint8Array): void {
    this.held.push(bytes);
    this.heldBytes += bytes.length;
    this.deliver();
    this.isAwaited = this.held.length > 0;
  }

  private deliver(): void {
    // What a handler causes to be written comes after what it is dealing with.
    if (this.isDelivering) return;
    this.isDelivering = true;
    while (this.handlers && !this.isPaused) {
      const bytes = this.held.shift();
      if (!bytes) break;
      this.heldBytes -= bytes.length;
      this.handlers.data(bytes);
    }
    this.isDelivering = false;
    if (this.held.length > 0) return;
    if (this.isAwaited) {
      this.isAwaited = false;
      this.peer?.handlers?.drained();
    }
    if (!this.peer) this.end();
  }

  private end(): void {
    const { handlers } = this;
    this.handlers = undefined;
    handlers?.closed();
  }
}
