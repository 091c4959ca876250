/**
 * Certificates and keys from a directory, as QEMU names them (specification: nbd, section 9).
 *
 * | file | |
 * |---|---|
 * | `ca-cert.pem` | the authorities that certificates of peers have to come from; must be there |
 * | `ca-crl.pem` | what they have revoked |
 * | `server-cert.pem`, `server-key.pem` | who a server is; must be there |
 * | `client-cert.pem`, `client-key.pem` | who a client is; of use only together |
 * | `dh-params.pem` | for key exchanges of old clients; else they are chosen |
 *
 * Our own certificate is checked as peers will check it, so that who makes a mistake hears of it and not of peers that go away.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { invalid } from '../../../base/errors.ts';
import type { TlsEndpoint, X509Options } from '../../tls.ts';
import { type CertificateUse, ExtendedKeyUsage, KeyUsage, useOf } from './certificate.ts';
import { readCredentials, readOptional } from './credential-files.ts';
import { NodeCredentials } from './credentials.ts';
import { versionsOf } from './priority.ts';

export async function loadX509(given: X509Options): Promise<NodeCredentials> {
  const { directory, endpoint, verifyPeer, checks, priority } = given;
  const paths = {
    ca: `${directory}/ca-cert.pem`,
    crl: `${directory}/ca-crl.pem`,
    cert: `${directory}/${endpoint}-cert.pem`,
    key: `${directory}/${endpoint}-key.pem`,
    dh: `${directory}/dh-params.pem`,
  };
  const isServer = endpoint === 'server';
  const ca = await readCredentials(paths.ca);
  const crl = await readOptional(paths.crl);
  const cert = isServer ? await readCredentials(paths.cert) : await readOptional(paths.cert);
  const key = isServer ? await readCredentials(paths.key) : await readOptional(paths.key);
  const dhparam = isServer ? await readOptional(paths.dh) : undefined;

  const unloadable = (reason: string): Error =>
    invalid(`Cannot load certificate '${paths.cert}' & key '${paths.key}': ${reason}`);
  const [own] = cert ? certificatesOf(cert) : [];
  if (cert && !own) {
    if (!checks) throw unloadable('Base64 decoding error.');
    throw invalid(`Unable to import ${endpoint} certificate ${paths.cert}: Base64 unexpected header error.`);
  }
  const authorities = certificatesOf(ca);
  // Without any, Node would trust those that it comes with.
  if (authorities.length === 0) throw invalid(`Unable to import CA certificate list ${paths.ca}`);
  if (checks) {
    if (own) checkOwn(paths.cert, own, endpoint);
    for (const authority of authorities) checkAuthority(paths.ca, authority);
    const reason = own && distrustOf(own, authorities);
    if (reason !== undefined)
      throw invalid(`Our own certificate ${paths.cert} failed validation against ${paths.ca}: ${reason}`);
  }
  const options: SecureContextOptions = { ...versionsOf(priority), ca: ca.toString() };
  if (own && cert && key) {
    const privateKey = parseKey(key, given.password);
    if (typeof privateKey === 'string') throw unloadable(privateKey);
    if (!own.checkPrivateKey(privateKey)) throw unloadable('The certificate and the given key do not match.');
    options.cert = cert.toString();
    options.key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  }
  if (crl) {
    if (!isUsable({ crl: crl.toString() }))
      throw invalid(`Cannot load CRL '${paths.crl}': Base64 decoding error.`);
    options.crl = crl.toString();
  }
  // Node takes others for none.
  if (dhparam && !dhparam.includes('-----BEGIN DH PARAMETERS-----'))
    throw invalid(`Unable to load DH parameters from ${paths.dh}: Base64 unexpected header error.`);
  if (isServer) options.dhparam = dhparam?.toString() ?? 'auto';
  return new NodeCredentials(endpoint, options, verifyPeer);
}

/** None where one is damaged. */
function certificatesOf(pem: Buffer): X509Certificate[] {
  const blocks =
    pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    // OpenSSL's reasons are about its own functions.
    return [];
  }
}

/** A string: why it cannot be read. */
function parseKey(key: Buffer, password: Uint8Array | undefined): KeyObject | string {
  try {
    return createPrivateKey({ key, passphrase: Buffer.from(password ?? []) });
  } catch {
    const isEncrypted = key.includes('ENCRYPTED');
    return isEncrypted ? 'Decryption has failed.' : 'The requested data were not available.';
  }
}

function isUsable(options: SecureContextOptions): boolean {
  try {
    createSecureContext(options);
    return true;
  } catch {
    return false;
  }
}

function checkOwn(path: string, certificate: X509Certificate, endpoint: TlsEndpoint): void {
  checkTimes(certificate, `${endpoint} certificate ${path}`);
  const use = useOf(certificate);
  if (use.isAuthority)
    throw invalid(`The certificate ${path} basic constraints show a CA, but we need one for a ${endpoint}`);
  checkUse(path, use, endpoint);
}

function checkAuthority(path: string, certificate: X509Certificate): void {
  checkTimes(certificate, `CA certificate ${path}`);
  const { isAuthority, keyUsage } = useOf(certificate);
  if (isAuthority === undefined)
    throw invalid(`The certificate ${path} is missing basic constraints for a CA`);
  if (!isAuthority) throw invalid(`The certificate ${path} basic constraints do not show a CA`);
  if (keyUsage?.isCritical && !keyUsage.allowed.has(KeyUsage.keyCertSign))
    throw invalid(`Certificate ${path} usage does not permit certificate signing`);
}

function checkTimes({ validFrom, validTo }: X509Certificate, what: string): void {
  const now = Date.now();
  if (Date.parse(validTo) < now) throw invalid(`The ${what} has expired`);
  if (Date.parse(validFrom) > now) throw invalid(`The ${what} is not yet active`);
}

/** What is only recommended is not asked for. */
function checkUse(path: string, { keyUsage, extendedKeyUsage }: CertificateUse, endpoint: TlsEndpoint): void {
  if (keyUsage?.isCritical) {
    for (const [bit, words] of [
      [KeyUsage.digitalSignature, 'digital signature'],
      [KeyUsage.keyEncipherment, 'key encipherment'],
    ] as const) {
      if (!keyUsage.allowed.has(bit)) throw invalid(`Certificate ${path} usage does not permit ${words}`);
    }
  }
  const wanted = ExtendedKeyUsage[`${endpoint}Auth`];
  if (extendedKeyUsage?.isCritical && !extendedKeyUsage.allowed.includes(wanted))
    throw invalid(`Certificate ${path} purpose does not allow use with a TLS ${endpoint}`);
}

/** Why peers that trust `authorities` would not trust the certificate. */
function distrustOf(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): string | undefined {
  const issuer = authorities.find(
    ({ subject, publicKey }) => subject === certificate.issuer && certificate.verify(publicKey),
  );
  if (!issuer) return "The certificate hasn't got a known issuer";
  const { keyUsage } = useOf(issuer);
  const maySign = !keyUsage || keyUsage.allowed.has(KeyUsage.keyCertSign);
  return maySign ? undefined : 'The certificate is not trusted';
}
