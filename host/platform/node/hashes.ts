/** Hashes by Node's OpenSSL, loaded when there is something to hash. */
import type * as Crypto from 'node:crypto';
import type { Hashes } from '../platform.ts';

const crypto = (): typeof Crypto => process.getBuiltinModule('node:crypto');

export const hashes: Hashes = {
  sha256: (data) => crypto().createHash('sha256').update(data).digest(),

  startSha256() {
    const hash = crypto().createHash('sha256');
    return { update: (part) => void hash.update(part), digest: () => hash.digest() };
  },

  scrypt(password, salt, { cost, blockSize, parallelization }, bytes) {
    // What it needs, and a little for itself.
    const maxmem = 128 * cost * blockSize + 128 * blockSize * parallelization + (1 << 20);
    const options = { cost, blockSize, parallelization, maxmem };
    return new Promise((resolve, reject) => {
      crypto().scrypt(password, salt, bytes, options, (error, key) => (error ? reject(error) : resolve(key)));
    });
  },
};
