/** Hashes by Node's OpenSSL, loaded when there is something to hash. */
import type * as Crypto from 'node:crypto';
import type { Hashes, NamedHash } from '../platform.ts';

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

  named: (name) => (digestBytes.has(name) && isThere(name) ? new OpensslHash(name) : undefined),
};

/** Those that QEMU and cryptsetup name. */
const digestBytes: ReadonlyMap<string, number> = new Map([
  ['md5', 16],
  ['sha1', 20],
  ['sha224', 28],
  ['sha256', 32],
  ['sha384', 48],
  ['sha512', 64],
  ['ripemd160', 20],
  ['sm3', 32],
]);

/** OpenSSL may be built or configured without some. */
function isThere(name: string): boolean {
  try {
    crypto().createHash(name);
    return true;
  } catch {
    return false;
  }
}

class OpensslHash implements NamedHash {
  readonly digestBytes: number;

  constructor(private readonly name: string) {
    this.digestBytes = digestBytes.get(name)!; // the caller found it
  }

  digest(data: Uint8Array): Uint8Array {
    return crypto().hash(this.name, data, 'buffer');
  }

  deriveKey(password: Uint8Array, salt: Uint8Array, iterations: number, bytes: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      crypto().pbkdf2(password, salt, iterations, bytes, this.name, (error, key) =>
        error ? reject(error) : resolve(key),
      );
    });
  }
}
