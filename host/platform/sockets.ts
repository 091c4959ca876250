/** Sockets as a platform may have them: who listens, who connects. What goes through them is a `Connection`. */
import type { Connection } from './connection.ts';

/** Where a socket is (QAPI SocketAddress). */
export type SocketAddress =
  | { readonly type: 'unix'; readonly path: string }
  | {
      readonly type: 'inet';
      readonly host: string;
      readonly port: string;
      /** Who listens takes the first port from `port` to this one that is free. */
      readonly to?: number;
      /** Of IP: the host's name has to have an address of it. */
      readonly family?: 4 | 6;
    }
  /** A descriptor that the program was started with. */
  | { readonly type: 'fd'; readonly fd: number };

/** Somebody listens; those who come are handed over as they do. */
export interface Listener {
  /** Nobody else is let in; those who were are not touched. The name of a unix socket goes away at once. */
  close(): void;
}

export interface Sockets {
  /** Errors: BlockError, in QEMU's words, with the address. */
  listen(address: SocketAddress, accept: (connection: Connection) => void): Promise<Listener>;
  /** `signal` gives the attempt up, with ECANCELED. Errors: as `listen`. */
  connect(address: SocketAddress, signal?: AbortSignal): Promise<Connection>;
}
