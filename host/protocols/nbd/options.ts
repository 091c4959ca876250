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
const defaultContext = 'base:allocation';
const defaultConnections = 4;
const maxConnections = 64;

/** Those that change what is seen. */
export const strongOptions = ['path', 'host', 'port', 'export', 'tls-creds', 'tls-hostname', 'server'];

export interface NbdSettings {
  readonly address: ServerAddress;
  /** Of the export. */
  readonly name: string;
  readonly context: string;
  /** The context is no default: there has to be it. */
  readonly needsContext: boolean;
  readonly reconnectDelay: number;
  readonly openTimeout: number;
  readonly maxConnections: number;
  /** Absent: TLS is not spoken. */
  readonly tls?: {
    /** Id of an object. */
    readonly credentials: string;
    /** What the server's certificate has to be for. */
    readonly hostname: string | undefined;
  };
}

const maxStringBytes = 4096;

/** Errors: what is wrong with them, in QEMU's words. */
export function settingsOf(given: NbdOptions): NbdSettings {
  const address = addressOf(given);
  const name = given.export ?? '';
  if (utf8Bytes(name) > maxStringBytes) throw invalid('export name too long to send to server');
  const context = given['x-dirty-bitmap'];
  if (context !== undefined && utf8Bytes(context) > maxStringBytes)
    throw invalid('x-dirty-bitmap query too long to send to server');
  const connections = given['x-connections'] ?? defaultConnections;
  if (connections < 1 || connections > maxConnections)
    throw invalid(`Parameter 'x-connections' expects a number from 1 to ${maxConnections}`);
  return {
    address,
    name,
    context: context ?? defaultContext,
    needsContext: context !== undefined,
    // What is not of 32 bits loses what it has more.
    reconnectDelay: (given['reconnect-delay'] ?? 0) >>> 0,
    openTimeout: (given['open-timeout'] ?? 0) >>> 0,
    maxConnections: connections,
    ...tlsOf(given, address),
  };
}

function tlsOf(
  { 'tls-creds': credentials, 'tls-hostname': hostname }: NbdOptions,
  address: ServerAddress,
): Pick<NbdSettings, 'tls'> {
  if (credentials === undefined) return {};
  const host = address.type === 'inet' ? address.host : undefined;
  return { tls: { credentials, hostname: hostname ?? host } };
}

/** Errors: as `settingsOf`. */
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

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
