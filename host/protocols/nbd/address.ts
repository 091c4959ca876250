/**
 * Where an NBD server is: at a socket or, beyond QEMU, at a WebSocket, which pages can reach (specification: nbd, sections 5 and 8).
 */
import { invalid } from '../../base/errors.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import {
  missingByName,
  readSocketAddress,
  socketAddress,
  socketAddressTypes,
} from '../../qapi/socket-address.ts';
import { enumeration, str, struct, type TypeOf, type UnionType, worded } from '../../qapi/types.ts';

export type ServerAddress = SocketAddress | { readonly type: 'ws'; readonly url: string };

const webSocketAddress = struct('WebSocketAddress', { url: worded(str, missingByName('url')) });

type GivenSocket = TypeOf<typeof socketAddress>;
type GivenAddress = Omit<GivenSocket, 'type'> & { type: GivenSocket['type'] | 'ws'; url?: string };

/** SocketAddress, and WebSockets. */
export const serverAddress: UnionType<GivenAddress> = {
  kind: 'union',
  name: 'NbdServerAddress',
  base: struct('NbdServerAddressBase', {
    type: worded(enumeration('NbdServerAddressType', [...socketAddressTypes, 'ws']), missingByName('type')),
  }),
  discriminator: 'type',
  branches: () => ({ ...socketAddress.branches(), ws: webSocketAddress }),
};

/** Errors: what cannot be connected to, by name. */
export function readServerAddress({ type, url, ...given }: GivenAddress): ServerAddress {
  if (type !== 'ws') return readSocketAddress({ ...given, type });
  // The check saw to it that it is there.
  if (!isWebSocketUrl(url!)) throw invalid(`'${url}' is not an address of a WebSocket`);
  return { type, url: url! };
}

/** What is behind a `#` is not sent, and refused by browsers. */
export function isWebSocketUrl(text: string): boolean {
  return URL.canParse(text) && /^wss?:\/\//i.test(text) && !text.includes('#');
}
