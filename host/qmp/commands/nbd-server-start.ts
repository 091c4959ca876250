/** nbd-server-start: listens for NBD clients; what they can choose is added by block-export-add (specification: nbd, section 4). */
import { invalid } from '../../base/errors.ts';
import { exportsOf } from '../../exports/block-exports.ts';
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

/** What there is to say of a server beside its address. Errors: what is not served, by name. */
export function readNbdServerOptions(given: Omit<TypeOf<typeof nbdServerOptions>, 'addr'>) {
  const refused = (['tls-creds', 'tls-authz'] as const).find((name) => given[name] !== undefined);
  if (refused) throw invalid(`Parameter '${refused}' is not supported`);
  return {
    maxConnections: given['max-connections'] ?? defaultMaxConnections,
    handshakeMaxSeconds: given['handshake-max-seconds'] ?? defaultHandshakeMaxSeconds,
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
