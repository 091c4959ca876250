/** The addresses that a server can be opened at, as it prints them: none that only says "all". */
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';

interface OpenAddresses {
  /** On this machine. */
  readonly here: string;
  /** From other machines, when it listens on all addresses. */
  readonly elsewhere: readonly string[];
}

const loopback: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** URLs without a path. */
export function openAddresses(protocol: 'http' | 'https', { address, port }: AddressInfo): OpenAddresses {
  const url = (host: string): string => `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const here = loopback[address];
  if (here === undefined) return { here: url(address), elsewhere: [] };
  const others = ownAddresses('reachable').filter((host) => address === '::' || !host.includes(':'));
  return { here: url(here), elsewhere: others.map(url) };
}

/** Of this machine; `reachable`: by others. Those that mean something on one interface only cannot be part of a URL. */
export function ownAddresses(which: 'all' | 'reachable'): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const chosen = all.filter(({ internal, scopeid }) => !scopeid && (which === 'all' || !internal));
  return chosen.map(({ address }) => address);
}
