/**
 * What the server proves with who it is, when it speaks TLS: files that the user names, or a certificate made on the spot.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { clock } from '../../platform/node/clock.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import type { Tool } from '../shared/tool.ts';
import { ownAddresses } from './addresses.ts';
import { type Identity, makeIdentity } from './certificate.ts';

/** `undefined`: plain HTTP. */
export type TlsChoice =
  | { readonly type: 'made'; readonly names: readonly string[] }
  | { readonly type: 'files'; readonly cert: string; readonly key: string }
  | undefined;

/** Ends with a message when files are not what they should be. */
export function identityFor(tool: Tool, choice: Exclude<TlsChoice, undefined>): Identity {
  if (choice.type === 'made') {
    const names = [...new Set(['localhost', ...choice.names, ...ownAddresses('all')])];
    return makeIdentity(names, clock.wallClock().seconds * 1000);
  }
  const cert = read(tool, '--tls-cert', choice.cert);
  const key = read(tool, '--tls-key', choice.key);
  const certificate = parse(tool, `--tls-cert: '${choice.cert}' is not a certificate in PEM`, () => {
    return new X509Certificate(cert);
  });
  const privateKey = parse(
    tool,
    `--tls-key: '${choice.key}' is not a key in PEM without a passphrase`,
    () => {
      return createPrivateKey(key);
    },
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    tool.fail(`--tls-key: '${choice.key}' is not the key of '${choice.cert}'`);
  }
  return { cert, key };
}

/** As browsers show it. */
export function fingerprintOf({ cert }: Identity): string {
  return new X509Certificate(cert).fingerprint256;
}

function read(tool: Tool, option: string, path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    return tool.fail(`${option}: '${path}': ${fromSystemError(error).message}`);
  }
}

function parse<T>(tool: Tool, problem: string, act: () => T): T {
  try {
    return act();
  } catch {
    return tool.fail(problem);
  }
}
