/**
 * Credentials as Node's TLS takes them, and what comes of a connection with them. Failures are told in GnuTLS's words where it
 * has some, because they are what people look for.
 *
 * A peer without a certificate that is trusted gets as far as having shaken hands, and is refused then: before that it could
 * not be told why.
 */
import type { X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { BlockError, invalid } from '../../../base/errors.ts';
import type { Connection } from '../../connection.ts';
import type { SecureConnection, TlsCredentials, TlsEndpoint } from '../../tls.ts';
import { endSocket, StreamConnection } from '../stream-connection.ts';
import { subjectOf } from './certificate.ts';

/** Whoever waits for the handshake has a limit of their own: as long as a timer of Node's can take. */
const handshakeTimeout = 2 ** 31 - 1;

/** Why a certificate is not trusted, by OpenSSL's name for it. */
const distrust: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'The certificate has expired',
  CERT_NOT_YET_VALID: 'The certificate is not yet activated',
  CERT_REVOKED: 'The certificate has been revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: "The certificate hasn't got a known issuer",
  SELF_SIGNED_CERT_IN_CHAIN: "The certificate hasn't got a known issuer",
  UNABLE_TO_GET_ISSUER_CERT: "The certificate hasn't got a known issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "The certificate hasn't got a known issuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "The certificate hasn't got a known issuer",
};

/** What went wrong in a handshake, by Node's code. */
const failures: Readonly<Record<string, string>> = {
  ECONNRESET: 'The TLS connection was non-properly terminated.',
  EPIPE: 'The TLS connection was non-properly terminated.',
  ERR_SSL_NO_SHARED_CIPHER: 'No supported cipher suites have been found.',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'Insufficient credentials for that request.',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'No supported cipher suites have been found.',
  ERR_SSL_BAD_EXTENSION: 'An illegal parameter has been received.',
  ERR_SSL_BINDER_DOES_NOT_VERIFY: 'An illegal parameter has been received.',
  ERR_SSL_HTTP_REQUEST: 'An unexpected TLS packet was received.',
  ERR_SSL_WRONG_VERSION_NUMBER: 'An unexpected TLS packet was received.',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'An unexpected TLS packet was received.',
};

/** Who a user of keys is. */
interface OwnKey {
  readonly identity: string;
  readonly psk: Buffer;
}

/** Keys that both sides know, in place of certificates. */
interface Keys {
  /** Of a server: the key of whoever is called that; null: there is nobody. */
  readonly keyOf?: (identity: string) => Buffer | null;
  /** Of a client. */
  readonly ownKey?: OwnKey;
}

export class NodeCredentials implements TlsCredentials {
  constructor(
    readonly endpoint: TlsEndpoint,
    private readonly options: SecureContextOptions,
    /** The peer has to have a certificate. */
    private readonly verifiesPeer: boolean,
    private readonly keys: Keys = {},
  ) {}

  accept(given: Connection): Promise<SecureConnection> {
    const { keyOf } = this.keys;
    return this.begin(given, (socket, done, failed) => {
      const server = createServer({
        ...this.options,
        ...(keyOf ? { pskCallback: (_: unknown, identity: string) => keyOf(identity) } : {}),
        requestCert: this.verifiesPeer,
        // It is looked at below.
        rejectUnauthorized: false,
        allowHalfOpen: true,
        handshakeTimeout,
      });
      server.on('tlsClientError', failed);
      server.on('secureConnection', (secure) =>
        done(secure, () => {
          return this.peerOf(secure, secure.getPeerX509Certificate(), 'Verify failed: ');
        }),
      );
      server.emit('connection', socket);
    });
  }

  connect(given: Connection, hostname: string | undefined): Promise<SecureConnection> {
    const { ownKey } = this.keys;
    // Addresses are no names that a server would choose by.
    const servername = hostname === undefined || isIP(hostname) !== 0 ? '' : hostname;
    return this.begin(given, (socket, done, failed) => {
      const secure = connect({
        ...this.options,
        socket,
        ...(servername === '' ? {} : { servername }),
        ...(ownKey ? { pskCallback: () => ownKey } : {}),
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      });
      secure.on('error', failed);
      secure.on('secureConnect', () => done(secure, () => this.serverOf(secure, hostname)));
    });
  }

  /** `shake`: shakes hands through the socket, and says what has come of it: `check` throws BlockError when that will not do. */
  private begin(
    given: Connection,
    shake: (
      socket: Socket,
      done: (secure: TLSSocket, check: () => Pick<SecureConnection, 'peerName'>) => void,
      failed: (error: Error) => void,
    ) => void,
  ): Promise<SecureConnection> {
    const socket = given instanceof StreamConnection ? given.handOver() : undefined;
    if (!socket) return Promise.reject(new BlockError('ENOTSUP', 'TLS is for sockets alone'));
    return new Promise((resolve, reject) => {
      socket.on('close', () => reject(handshakeFailure({ code: 'ECONNRESET' })));
      const failed = (error: Error): void => reject(handshakeFailure(error));
      shake(
        socket,
        (secure, check) => {
          // The peer may go away before anybody is told of it.
          secure.on('error', () => {});
          const connection = new StreamConnection(secure, secure, () => endSocket(secure));
          try {
            resolve({ connection, ...check() });
          } catch (error) {
            connection.close();
            reject(error);
          }
        },
        failed,
      );
    });
  }

  /** Throws BlockError: the certificate is not one that was asked for. */
  private peerOf(
    socket: TLSSocket,
    certificate: X509Certificate | undefined,
    context = '',
  ): Pick<SecureConnection, 'peerName'> {
    if (!this.verifiesPeer) return {};
    if (!certificate) throw invalid(`${context}No certificate was found.`);
    // A string, whatever its type says.
    const code = String(socket.authorizationError);
    if (!socket.authorized) throw invalid(distrust[code] ?? `The certificate is not trusted: ${code}`);
    return { peerName: subjectOf(certificate) };
  }

  /** Throws BlockError: it is not the server that was asked for. */
  private serverOf(socket: TLSSocket, hostname: string | undefined): Pick<SecureConnection, 'peerName'> {
    // Node hands it over to the first who asks.
    const certificate = socket.getPeerX509Certificate();
    // Who knows the key has no need of a certificate, and who has one need not know the key.
    if (this.keys.ownKey && certificate)
      throw invalid('TLS handshake failed: Insufficient credentials for that request.');
    const peer = this.peerOf(socket, certificate);
    if (!this.verifiesPeer) return peer;
    if (hostname === undefined) throw invalid('No hostname for certificate validation');
    const matches = isIP(hostname) === 0 ? certificate?.checkHost(hostname) : certificate?.checkIP(hostname);
    if (matches === undefined) throw invalid(`Certificate does not match the hostname ${hostname}`);
    return peer;
  }
}

/** OpenSSL's `reason` is for people, its message is not. */
function handshakeFailure(error: { code?: unknown; reason?: unknown; message?: string }): BlockError {
  const code = String(error.code);
  const isAlert = code.includes('_ALERT_');
  const known = isAlert ? 'A TLS fatal alert has been received.' : failures[code];
  return new BlockError('EIO', `TLS handshake failed: ${known ?? error.reason ?? error.message}`, {
    cause: error,
  });
}
