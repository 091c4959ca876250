/** Authorities and certificates for tests, by openssl: with the extensions and times that a test asks for. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of a certificate and its key. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

export interface Wanted {
  /** As openssl has it: `/O=Example/CN=name`. */
  readonly subject: string;
  /** Lines of an extension file. */
  readonly extensions?: readonly string[];
  /** Days from now; negative: it has expired. */
  readonly days?: number;
}

export const authorityExtensions = [
  'basicConstraints=critical,CA:TRUE',
  'keyUsage=critical,keyCertSign,cRLSign',
];
export const serverExtensions = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature,keyEncipherment',
  'extendedKeyUsage=serverAuth',
  'subjectAltName=DNS:localhost,IP:127.0.0.1',
];
export const clientExtensions = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature,keyEncipherment',
  'extendedKeyUsage=clientAuth',
];

export class CertificateMaker {
  private count = 0;

  constructor(private readonly directory: string) {
    mkdirSync(directory, { recursive: true });
  }

  /** Signed by `issuer`, or by itself. */
  make({ subject, extensions = [], days = 5 }: Wanted, issuer?: Identity): Identity {
    const path = join(this.directory, `${++this.count}`);
    const made = { cert: `${path}.pem`, key: `${path}.key` };
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(made.key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const config = `[req]\ndistinguished_name=name\n[name]\n[extensions]\n${extensions.join('\n')}\n`;
    writeFileSync(`${path}.cnf`, config);
    const how = ['-extensions', 'extensions', '-days', `${days}`, '-out', made.cert];
    const by = issuer ? ['-CA', issuer.cert, '-CAkey', issuer.key] : [];
    const what = ['req', '-config', `${path}.cnf`, '-key', made.key, '-utf8', '-subj', subject];
    if (days >= 0) openssl(...what, '-x509', ...how, ...by);
    else {
      // That takes times in the past, and a request.
      openssl(...what, '-new', '-out', `${path}.csr`);
      const signed = issuer ? [...by, '-CAcreateserial'] : ['-signkey', made.key];
      openssl('x509', '-req', '-in', `${path}.csr`, '-extfile', `${path}.cnf`, ...how, ...signed);
    }
    return made;
  }

  /** A directory with the files that QEMU looks for, of an endpoint or of a client that has no certificate. */
  directoryOf(authority: Identity, endpoint: 'client' | 'server', own?: Identity): string {
    const directory = join(this.directory, `dir${++this.count}`);
    mkdirSync(directory);
    copyFileSync(authority.cert, join(directory, 'ca-cert.pem'));
    if (own) {
      copyFileSync(own.cert, join(directory, `${endpoint}-cert.pem`));
      copyFileSync(own.key, join(directory, `${endpoint}-key.pem`));
    }
    if (endpoint === 'server') writeDhParameters(directory);
    return directory;
  }
}

let dhParameters: string | undefined;

/** QEMU makes its own, which takes seconds, for a server that has none. */
export function writeDhParameters(directory: string): void {
  dhParameters ??= execFileSync(
    'openssl',
    ['genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048'],
    { encoding: 'utf8' },
  );
  writeFileSync(join(directory, 'dh-params.pem'), dhParameters);
}

export function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
