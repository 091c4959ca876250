/** nbd-server-start: listens for NBD clients; what they can choose is added by block-export-add (specification: nbd, section 4). */
import { exportsOf, type NewServer } from '../../exports/block-exports.ts';
import { defaultHandshakeMaxSeconds, defaultMaxConnections } from '../../exports/nbd-server.ts';
import { legacySocketAddress, readSocketAddress, socketAddress } from '../../qapi/socket-address.ts';
import { optional, str, struct, type TypeOf, uint32 } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

const server = {
  'handshake-max-seconds': optional(uint32),
  'tls-creds': optional(str),
  'tls-authz': optional(str),
  'max-connections': optional(uint32),
};

/** As the option of a program has it. */
export const nbdServerOptions = struct('NbdServerOptions', { ...server, addr: socketAddress });

/** What there is to say of a server beside its address. */
export function readNbdServerOptions(given: Omit<TypeOf<typeof nbdServerOptions>, 'addr'>): NewServer {
  return {
    maxConnections: given['max-connections'] ?? defaultMaxConnections,
    handshakeMaxSeconds: given['handshake-max-seconds'] ?? defaultHandshakeMaxSeconds,
    tlsCreds: given['tls-creds'],
    tlsAuthz: given['tls-authz'],
  };
}

export const nbdServerStart = defineCommand({
  name: 'nbd-server-start',
  args: struct('NbdServerStartArguments', { ...server, addr: legacySocketAddress }),
  async run({ graph }, { addr: { type, data }, ...given }) {
    const address = readSocketAddress({ type, ...data });
    await exportsOf(graph).startServer(address, readNbdServerOptions(given));
    return {};
  },
});
