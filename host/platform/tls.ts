/**
 * TLS as a platform may have it: credentials that are read once, and connections that are made secure by them.
 *
 * A connection is given away when it is made secure: what is said goes through the one that comes of it, and all that is
 * left to do with the old one is to close it, which ends both. Not here: who may do what once it is known who it is.
 */
import type { Connection } from './connection.ts';

/** Which side of a connection credentials are for: the one that was connected to, or the one that connects. */
export type TlsEndpoint = 'client' | 'server';

/** What all credentials may be told. */
export interface CommonOptions {
  readonly endpoint: TlsEndpoint;
  /** Which versions may be spoken, as GnuTLS writes it: `NORMAL:-VERS-TLS1.3`. */
  readonly priority?: string | undefined;
}

/** Certificates in a directory, by the names that QEMU gives them: `ca-cert.pem`, `server-cert.pem`, `client-key.pem`, … */
export interface X509Options extends CommonOptions {
  readonly directory: string;
  /** Whether the peer has to have a certificate of the same authority. */
  readonly verifyPeer: boolean;
  /** Whether a certificate that peers would not take is an error at once. */
  readonly checks: boolean;
  /** Of the key. */
  readonly password?: Uint8Array | undefined;
}

/** Keys that both sides know, in `keys.psk` of a directory: lines of `USERNAME:HEX`. */
export interface PskOptions extends CommonOptions {
  readonly directory: string;
  /** Whose key a client uses. */
  readonly username: string;
}

/** A connection of which nobody else can read or change anything. */
export interface SecureConnection {
  readonly connection: Connection;
  /** Of the peer's certificate (RFC 4514, but for the order, which is the certificate's). Absent: it was not asked for one. */
  readonly peerName?: string | undefined;
}

export interface TlsCredentials {
  readonly endpoint: TlsEndpoint;
  /** As the side that was connected to. Errors: BlockError, why there is no secure connection; the given one is of no use then. */
  accept(connection: Connection): Promise<SecureConnection>;
  /**
   * As the side that connects. `hostname`: what the peer's certificate has to be for, where it has to have one. Errors: as
   * `accept`.
   */
  connect(connection: Connection, hostname: string | undefined): Promise<SecureConnection>;
}

/**
 * Makes a connection secure. Rejects with a BlockError when that fails, or when the peer is not one to speak with; the given one is of no
 * use then.
 */
export type Secure = (connection: Connection) => Promise<Connection>;

/** As the side that connects; `hostname` as of `TlsCredentials.connect`. */
export function secureServer(credentials: TlsCredentials, hostname: string | undefined): Secure {
  return async (connection) => (await credentials.connect(connection, hostname)).connection;
}

export interface Tls {
  /** Errors: BlockError, with the file that is wrong. */
  x509(options: X509Options): Promise<TlsCredentials>;
  /** Errors: BlockError, with the file that is wrong. */
  psk(options: PskOptions): Promise<TlsCredentials>;
  /** Nobody knows with whom he speaks. Errors: BlockError. */
  anonymous(options: CommonOptions): Promise<TlsCredentials>;
}
