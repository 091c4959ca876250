/** How sockets of chardevs are named to people and by query-chardev: `disconnected:unix:PATH,server=on`. */
import type * as net from 'node:net';
import type { SocketAddress } from '../../platform/sockets.ts';

export interface SocketPlace {
  readonly address: SocketAddress;
  readonly telnet: boolean;
  readonly webSocket: boolean;
  /** It listens there. */
  readonly isServer: boolean;
}

/** `socket` is the connection that there is; of TCP both its ends are named. */
export function socketName(
  { address, telnet, webSocket, isServer }: SocketPlace,
  socket?: net.Socket,
): string {
  const isConnected = socket !== undefined && !socket.destroyed;
  const state = isConnected ? '' : 'disconnected:';
  const role = isServer ? ',server=on' : '';
  if (address.type !== 'inet') {
    return `${state}${address.type}:${address.type === 'unix' ? address.path : address.fd}${role}`;
  }
  const protocol = telnet ? 'telnet' : webSocket ? 'websocket' : 'tcp';
  if (!isConnected) return `${state}${protocol}:${address.host}:${address.port}${role}`;
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  return `${protocol}:${end(localAddress, localPort)}${role} <-> ${end(remoteAddress, remotePort)}`;
}

function end(address = '', port = 0): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
