/** Tells of the connections of a server that has sockets. */
import type { Socket } from 'node:net';
import { connectionClose, connectionOpen } from '../../trace/events.ts';

/** `server` is its kind. To be called when the connection is new. */
export function traceSocket(server: string, socket: Socket): void {
  if (!connectionOpen.enabled && !connectionClose.enabled) return;
  // Sockets of a file system have no address on the client's side.
  const { remoteAddress, remotePort } = socket;
  const told = { server, client: remoteAddress === undefined ? 'local' : `${remoteAddress}:${remotePort}` };
  if (connectionOpen.enabled) connectionOpen.emit(told);
  socket.once('close', () => {
    if (connectionClose.enabled) connectionClose.emit(told);
  });
}
