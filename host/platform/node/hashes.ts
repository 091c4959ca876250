/** Hashes by Node's OpenSSL, loaded when there is something to hash. */
import type { Hash } from '../platform.ts';

export function sha256(): Hash {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256');
  return { update: (part) => void hash.update(part), digest: () => hash.digest() };
}
