/** Hashes by Node's OpenSSL. */
import { createHash, scrypt } from 'node:crypto';
import type { Hashes } from '../platform.ts';

export const hashes: Hashes = {
  sha256: (data) => createHash('sha256').update(data).digest(),

  scrypt(password, salt, { cost, blockSize, parallelization }, bytes) {
    // What it needs, and a little for itself.
    const maxmem = 128 * cost * blockSize + 128 * blockSize * parallelization + (1 << 20);
    return new Promise((resolve, reject) => {
      scrypt(password, salt, bytes, { cost, blockSize, parallelization, maxmem }, (error, key) =>
        error ? reject(error) : resolve(key),
      );
    });
  },
};
