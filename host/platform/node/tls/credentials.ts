/**
 * Credentials as Node's TLS takes them, and what comes of a connection with them. Failures are told in GnuTLS's words where it
 * has some, because they are what people look for.
 *
 * A peer without a certificate that is trusted gets as far as having shaken hands, and is refused then: before that it could
 * not be told why.
 */
import { createServer, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
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

export class NodeCredentials implements TlsCredentials {
  constructor(
    readonly endpoint: TlsEndpoint,
    private readonly options: TlsOptions & SecureContextOptions,
    /** The peer has to have a certificate. */
    private readonly verifiesPeer: boolean,
  ) {}

  accept(given: Connection): Promise<SecureConnection> {
    const socket = given instanceof StreamConnection ? given.handOver() : undefined;
    if (!socket) return Promise.reject(new BlockError('ENOTSUP', 'TLS is for sockets alone'));
    const server = createServer({
      ...this.options,
      requestCert: this.verifiesPeer,
      // It is looked at below.
      rejectUnauthorized: false,
      allowHalfOpen: true,
      handshakeTimeout,
    });
    return new Promise((resolve, reject) => {
      socket.on('close', () => reject(handshakeFailure({ code: 'ECONNRESET' })));
      server.on('tlsClientError', (error) => reject(handshakeFailure(error)));
      server.on('secureConnection', (secure) => {
        // The peer may go away before anybody is told of it.
        secure.on('error', () => {});
        const connection = new StreamConnection(secure, secure, () => endSocket(secure));
        try {
          resolve({ connection, ...this.peerOf(secure) });
        } catch (error) {
          connection.close();
          reject(error);
        }
      });
      server.emit('connection', socket);
    });
  }

  /** Throws BlockError: it is not one that was asked for. */
  private peerOf(socket: TLSSocket): Pick<SecureConnection, 'peerName'> {
    if (!this.verifiesPeer) return {};
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) throw invalid('Verify failed: No certificate was found.');
    // A string, whatever its type says.
    const code = String(socket.authorizationError);
    if (!socket.authorized) throw invalid(distrust[code] ?? `The certificate is not trusted: ${code}`);
    return { peerName: subjectOf(certificate) };
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
