/**
 * Who may ask: only requests that name us as we are known.
 *
 * A page of another site cannot read our answers, unless its name is made to point at us after it was loaded: then the browser
 * takes us for that site. Such a request still carries that name in its Host header, and is known by it. Names of ours are
 * `localhost`, the address that is listened on (with all of them, each of this machine), the one that the connection has come to,
 * and what the user adds.
 *
 * Ports are not compared: what is forwarded to us may be reached through another one, and a name that points elsewhere
 * is foreign with any.
 */
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';

const everyAddress = ['0.0.0.0', '[::]'];

export class AllowedHosts {
  private readonly names: ReadonlySet<string>;
  private readonly isAnyOwnAddress: boolean;

  /** As `hostNamed` gives them. One that stands for all addresses of this machine brings these. */
  constructor(names: Iterable<string>) {
    this.names = new Set([...names, 'localhost']);
    this.isAnyOwnAddress = everyAddress.some((all) => this.names.has(all));
  }

  /** `header`: of the request. `localAddress`: that its connection has come to. */
  has(header: string, localAddress: string | undefined): boolean {
    const host = hostNamed(withoutPort(header));
    if (host === undefined) return false;
    if (this.names.has(host)) return true;
    if (localAddress !== undefined && host === hostOfAddress(localAddress)) return true;
    return this.isAnyOwnAddress && isOwnAddress(host);
  }
}

/** The host that a request is for, port included; undefined when it names none, or several. */
export function authorityOf({ url = '', headersDistinct }: IncomingMessage): string | undefined {
  const [host, another] = headersDistinct['host'] ?? [];
  if (host === undefined || another !== undefined) return undefined;
  // Of a request that carries a whole URL, as it is sent to a proxy, that counts (RFC 9112, section 3.2.2).
  return /^https?:\/\/([^/?#]*)/i.exec(url)?.[1] ?? host;
}

/** A name or address as browsers write it in a URL; undefined when it is neither. */
export function hostNamed(text: string): string | undefined {
  const host = isIPv6(text) ? `[${text}]` : text;
  // Otherwise they would be taken for other parts of a URL.
  if (!/^(\[[\da-f:.]+\]|[^\s[\]:/?#@\\%]+)$/i.test(host)) return undefined;
  try {
    return new URL(`http://${host}`).hostname.replace(/\.$/, '') || undefined;
  } catch {
    return undefined;
  }
}

function withoutPort(header: string): string {
  return header.replace(/:\d*$/, '');
}

/** An IPv4 address in IPv6 is one; which network interface a local one is of is not part of its name. */
function hostOfAddress(address: string): string | undefined {
  return hostNamed(address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*/, ''));
}

function isOwnAddress(host: string): boolean {
  if (isIP(host.replace(/^\[|\]$/g, '')) === 0) return false;
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return addresses.some(({ address }) => hostOfAddress(address) === host);
}
