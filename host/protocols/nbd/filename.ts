/**
 * File names of NBD exports, both ways: `nbd://HOST[:PORT]/EXPORT`, `nbd+tcp://…`, `nbd+unix:///EXPORT?socket=PATH`, and as older
 * programs write them `nbd:HOST:PORT[:exportname=EXPORT]`, `nbd:unix:PATH[:exportname=EXPORT]` (specification: nbd, section 5).
 *
 * Those behind WebSockets are ours: `nbd+ws://HOST[:PORT]/PATH[?export=EXPORT]` and `nbd+wss://…` (section 8).
 */
import { invalid } from '../../base/errors.ts';
import { isWebSocketUrl, type ServerAddress } from './address.ts';
import { defaultPort } from './options.ts';

/** Options that a name stands for. */
interface NamedExport {
  readonly host?: string;
  readonly port?: string;
  readonly path?: string;
  readonly server?: { readonly type: 'ws'; readonly url: string };
  readonly export?: string;
}

/** A longer name is none. */
const maxNameBytes = 1023;

/** Errors: what the name lacks, in QEMU's words. */
export function optionsOfName(name: string): NamedExport {
  return /:\/\/|^nbd\+wss?:/.test(name) ? parseUri(name) : parseOldName(name);
}

const uriPattern =
  /^(nbd|nbd\+tcp|nbd\+unix):\/\/(?:[^/?@]*@)?(\[[^\]/?]*\]|[^/?:[\]]*)(?::([^/?]*))?(?:\/([^?#]*))?(?:\?([^#]*))?$/s;

function parseUri(name: string): NamedExport {
  if (/^nbd\+wss?:/.test(name)) return parseWebSocketUri(name);
  const problem = invalid('No valid URL specified');
  const match = uriPattern.exec(name);
  if (!match) throw problem;
  const [, scheme, host = '', port, path = '', query] = match;
  // Further slashes belong to the name.
  const exported = path === '' ? {} : { export: decoded(path) };
  if (scheme === 'nbd+unix') {
    const [, socket] = /^socket=([^&]*)$/.exec(query ?? '') ?? [];
    if (host !== '' || port !== undefined || socket === undefined) throw problem;
    return { path: decoded(socket), ...exported };
  }
  if (host === '' || query !== undefined) throw problem;
  if (port !== undefined && port !== '' && !/^\d+$/.test(port)) throw problem;
  return { host: decoded(host.replace(/^\[(.*)\]$/, '$1')), port: port || defaultPort, ...exported };
}

function parseWebSocketUri(name: string): NamedExport {
  const [, url = '', exported] = /^nbd\+([^?]*)(?:\?export=([^&]*))?$/s.exec(name) ?? [];
  if (!isWebSocketUrl(url)) throw invalid('No valid URL specified');
  return { server: { type: 'ws', url }, ...(exported === undefined ? {} : { export: decoded(exported) }) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('No valid URL specified');
  }
}

function parseOldName(name: string): NamedExport {
  const rest = name.replace(/^nbd:/, '');
  if (rest === '') throw invalid('NBD server address missing');
  const [, address = '', exported] = /^(.*?)(?::exportname=(.*))?$/s.exec(rest) ?? [];
  const named = exported === undefined || exported === '' ? {} : { export: exported };
  if (address.startsWith('unix:')) return { path: address.slice('unix:'.length), ...named };
  const [, host, port] = /^(\[[^\]]*\]|[^:]*):(.+)$/s.exec(address) ?? [];
  if (host === undefined || port === undefined) throw invalid(`error parsing address '${address}'`);
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port, ...named };
}

/** The name of an export; undefined where only `json:` can say it. */
export function nameOf(address: ServerAddress, exported: string): string | undefined {
  const name = uriOf(address, exported);
  return name === undefined || new TextEncoder().encode(name).length > maxNameBytes ? undefined : name;
}

function uriOf(address: ServerAddress, exported: string): string | undefined {
  switch (address.type) {
    case 'unix':
      return `nbd+unix://${exported === '' ? '' : `/${exported}`}?socket=${address.path}`;
    case 'inet':
      return `nbd://${address.host}:${address.port}${exported === '' ? '' : `/${exported}`}`;
    case 'ws':
      // What has a query of its own would be read as something else.
      if (address.url.includes('?')) return undefined;
      return `nbd+${address.url}${exported === '' ? '' : `?export=${encodeURIComponent(exported)}`}`;
    case 'fd':
      return undefined;
  }
}
