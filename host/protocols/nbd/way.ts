/**
 * The way to an NBD server: how it is reached and, where TLS is spoken, where that begins. Through a socket the client asks for it
 * (STARTTLS); a WebSocket is in it (`wss:`).
 */
import { BlockError } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Secure } from '../../platform/tls.ts';
import type { ServerAddress } from './address.ts';

interface Way {
  /** `signal` gives the attempt up, with ECANCELED; that of a WebSocket has a time limit of its own. Errors: BlockError, why nobody can be reached there. */
  connect(signal: AbortSignal): Promise<Connection>;
  /** What the client asks for TLS for. */
  readonly secure?: Secure | undefined;
}

/** `secure`: what TLS is spoken by; a WebSocket has the platform's own where it is undefined. */
export function wayTo(
  { sockets, webSockets }: Platform,
  address: ServerAddress,
  secure: Secure | undefined,
): Way {
  if (address.type !== 'ws') {
    if (!sockets) throw absent('sockets');
    return { connect: (signal) => sockets.connect(address, signal), secure };
  }
  if (!webSockets) throw absent('WebSockets');
  return { connect: () => webSockets.connect(address.url, secure) };
}

function absent(means: string): BlockError {
  return new BlockError('ENOTSUP', `There are no ${means} here that an NBD server could be reached by`);
}
