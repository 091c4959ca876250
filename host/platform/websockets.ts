/**
 * WebSockets as a platform may have them (RFC 6455): byte streams that pages can open, each a `Connection`.
 *
 * The stream is cut into binary messages anywhere; where one ends says nothing. The subprotocol is `binary`, by which such
 * streams are known.
 */
import type { Connection } from './connection.ts';
import type { Listener, SocketAddress } from './sockets.ts';
import type { Secure } from './tls.ts';

export interface WebSockets {
  /**
   * `url`: `ws:` or `wss:`. `secure`: by what `wss:` speaks TLS; absent: as the platform does, and always in pages. Errors: BlockError,
   * as far as it can be known why there is no connection: pages are told nothing.
   */
  connect(url: string, secure?: Secure): Promise<Connection>;
  /**
   * Absent where nobody can be listened for. `find`: who serves what is asked for under a path, which begins with `/`;
   * undefined: nobody. `secure`: by what connections begin to speak TLS (`wss:`); it rejects for those that do not come to it.
   * Absent: none do. Errors: BlockError, in the words of `Sockets.listen`.
   */
  listen?(
    address: SocketAddress,
    find: (path: string) => WebSocketService | undefined,
    secure?: Secure,
  ): Promise<Listener>;
}

/** What answers under a path. */
export interface WebSocketService {
  /**
   * Whose pages may come: `https://example.org`, or `*` for anybody's. Programs, which have no origin, always may, and pages of the
   * server itself, if it is named by an address or as `localhost`.
   */
  readonly origins: readonly string[];
  accept(connection: Connection): void;
}

export const webSocketProtocol = 'binary';

/** From a connection's beginning until it is open; it is given up then. */
export const webSocketHandshakeMs = 10_000;

/** Of a message that is sent: who receives it deals with whole ones only. */
export const maxSentBytes = 256 << 10;
