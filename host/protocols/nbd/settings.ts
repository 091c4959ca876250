/** What the options of the `nbd` driver come to (specification: nbd, section 5). */
import { invalid } from '../../base/errors.ts';
import type { ServerAddress } from './address.ts';
import { addressOf, type NbdOptions } from './options.ts';

const defaultContext = 'base:allocation';
const defaultConnections = 4;
const maxConnections = 64;

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
  if (address.type === 'ws' && !/^wss:/i.test(address.url))
    throw invalid(`TLS cannot be spoken through '${address.url}', but by 'wss:'`);
  return { tls: { credentials, hostname: hostname ?? hostOf(address) } };
}

function hostOf(address: ServerAddress): string | undefined {
  if (address.type === 'ws') return new URL(address.url).hostname.replace(/^\[(.*)\]$/, '$1');
  return address.type === 'inet' ? address.host : undefined;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
