/**
 * Keys that both sides know: lines of `USERNAME:HEX` in `keys.psk`.
 *
 * A server reads the file each time somebody comes, so that users can be added while it serves; a client at once.
 */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { invalid } from '../../../base/errors.ts';
import type { PskOptions } from '../../tls.ts';
import { readCredentials } from './credential-files.ts';
import { NodeCredentials } from './credentials.ts';
import { versionsOf } from './priority.ts';

const fileName = 'keys.psk';
/** Bytes; what is shorter could be guessed. */
const minKeyBytes = 4;
/** With a fresh key exchange where there is one, and a hash that a key may be used with in TLS 1.3 (RFC 8446, section 4.2.11). */
const ciphers = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:kECDHEPSK:kDHEPSK:kPSK:!eNULL';

export async function loadPsk({
  directory,
  endpoint,
  username,
  priority,
}: PskOptions): Promise<NodeCredentials> {
  const path = `${directory}/${fileName}`;
  const text = (await readCredentials(path)).toString('latin1');
  const options: SecureContextOptions = { ...versionsOf(priority), ciphers, dhparam: 'auto' };
  if (endpoint === 'client') {
    const found = keyTextOf(text, username);
    if (found === undefined) throw invalid(`Username ${username} not found in PSK file ${path}`);
    const key = parseKey(found);
    if (!key) throw invalid('Cannot set PSK client credentials: Error in parsing.');
    if (key.length < minKeyBytes) throw invalid('Cannot set PSK client credentials: The request is invalid.');
    return new NodeCredentials(endpoint, options, false, { ownKey: { identity: username, psk: key } });
  }
  return new NodeCredentials(endpoint, options, false, {
    keyOf: (identity) => currentKeyOf(path, identity),
  });
}

/** Null: there is no such user. */
function currentKeyOf(path: string, username: string): Buffer | null {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    // Nobody gets in while it is away.
    return null;
  }
  const found = keyTextOf(text, Buffer.from(username).toString('latin1'));
  return (found !== undefined && parseKey(found)) || null;
}

function keyTextOf(text: string, username: string): string | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${username}:`));
  return line?.slice(username.length + 1);
}

function parseKey(text: string): Buffer | undefined {
  return /^(?:[\da-f]{2})+$/i.test(text) ? Buffer.from(text, 'hex') : undefined;
}
