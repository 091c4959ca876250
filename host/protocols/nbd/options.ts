/** Options of the `nbd` driver (specification: nbd, section 5). `x-connections` and servers behind WebSockets are our own. */
import { invalid } from '../../base/errors.ts';
import { extend, optional, plainUint32, str, struct, type TypeOf, uint32 } from '../../qapi/types.ts';
import { readServerAddress, type ServerAddress, serverAddress } from './address.ts';

const declared = struct('BlockdevOptionsNbd', {
  server: optional(serverAddress),
  export: optional(str),
  'tls-creds': optional(str),
  'tls-hostname': optional(str),
  /** The kind of block status to go by, in place of `base:allocation`: a bitmap's shows as holes what is dirty. */
  'x-dirty-bitmap': optional(str),
  /** Seconds. */
  'reconnect-delay': optional(plainUint32),
  /** Seconds. */
  'open-timeout': optional(plainUint32),
  /** At most, to a server that takes several. */
  'x-connections': optional(uint32),
});

/** As names had it before there was `server`. */
const old = struct('BlockdevOptionsNbdOld', {
  path: optional(str),
  host: optional(str),
  port: optional(str),
});

export const options = extend('BlockdevOptionsNbd', declared, old);

export const oldOptions = { path: 'server', host: 'server', port: 'server' };

export type NbdOptions = TypeOf<typeof options>;

export const defaultPort = '10809';

/** Those that change what is seen. */
export const strongOptions = ['path', 'host', 'port', 'export', 'tls-creds', 'tls-hostname', 'server'];

/** Errors: what is wrong with them, in QEMU's words. */
export function addressOf({ server, path, host, port }: NbdOptions): ServerAddress {
  if (path !== undefined && host !== undefined)
    throw invalid('path and host may not be used at the same time');
  if (server) {
    if (path !== undefined || host !== undefined || port !== undefined)
      throw invalid("Cannot use 'server' and path/host/port at the same time");
    return readServerAddress(server);
  }
  if (path !== undefined) return { type: 'unix', path };
  if (host !== undefined) return { type: 'inet', host, port: port ?? defaultPort };
  throw invalid('NBD server address missing');
}
