/** Tells of the connections of a server that has sockets. */
import type { Socket } from 'node:net';
import { events } from '../../trace/events.ts';

/** `server` is its kind. To be called when the connection is new. */
export function traceSocket(server: string, socket: Socket): void {
  const { connection_open: open, connection_close: close } = events;
  if (!open.enabled && !close.enabled) return;
  // Sockets of a file system have no address on the client's side.
  const { remoteAddress, remotePort } = socket;
  const told = { server, client: remoteAddress === undefined ? 'local' : `${remoteAddress}:${remotePort}` };
  if (open.enabled) open.emit(told);
  socket.once('close', () => {
    if (close.enabled) close.emit(told);
  });
}
