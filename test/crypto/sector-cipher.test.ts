/** Sector ciphers against OpenSSL's own modes, a sector at a time. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type CipherNames, createSectorCipher } from '../../host/crypto/named-cipher.ts';
import { ciphers } from '../../host/platform/node/ciphers.ts';
import { hashes } from '../../host/platform/node/hashes.ts';
import { Seeded } from '../support/seeded.ts';

const platform = { ciphers, hashes };
const sectorBytes = 512;

function vectorOf({ ivGenerator, ivHash }: CipherNames, key: Uint8Array, sector: number): Buffer {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(ivGenerator === 'plain' ? BigInt(sector % 2 ** 32) : BigInt(sector));
  if (ivHash === undefined) return vector;
  const salt = createHash(ivHash).update(key).digest();
  return createCipheriv(`aes-${salt.length * 8}-ecb`, salt, null)
    .setAutoPadding(false)
    .update(vector);
}

/** Every sector by a cipher of its own. */
function reference(names: CipherNames, key: Uint8Array, first: number, data: Uint8Array): Buffer {
  const bits = (names.mode === 'xts' ? key.length / 2 : key.length) * 8;
  const sectors: Buffer[] = [];
  for (let at = 0; at < data.length; at += sectorBytes) {
    const vector = names.mode === 'ecb' ? null : vectorOf(names, key, first + at / sectorBytes);
    const cipher = createCipheriv(`aes-${bits}-${names.mode}`, key, vector).setAutoPadding(false);
    sectors.push(cipher.update(data.subarray(at, at + sectorBytes)));
  }
  return Buffer.concat(sectors);
}

const named = (mode: string, ivGenerator: string, ivHash?: string): CipherNames => ({
  ...{ algorithm: 'aes', mode, ivGenerator },
  ivHash,
});

describe('a sector cipher', () => {
  test.each([
    [named('xts', 'plain64'), 64],
    [named('xts', 'plain64'), 32],
    [named('xts', 'plain'), 64],
    [named('xts', 'essiv', 'sha256'), 64],
    [named('cbc', 'plain64'), 32],
    [named('cbc', 'plain64'), 24],
    [named('cbc', 'plain'), 16],
    [named('cbc', 'essiv', 'sha256'), 32],
    [named('cbc', 'essiv', 'sha256'), 16],
    [named('ecb', 'plain64'), 32],
  ])('%o with a key of %i bytes does what OpenSSL does', (names, keyBytes) => {
    const key = randomBytes(keyBytes);
    const cipher = createSectorCipher(platform, names, key);
    const random = new Seeded(keyBytes);
    // One, some, more than a piece; the numbers beyond 32 bits, too.
    for (const sectors of [1, 2, 7, 128, 129, 300]) {
      const first = random.oneIn(2) ? random.below(1000) : 2 ** 32 - 3 + random.below(5);
      // Where words of memory begin, and where they do not.
      const shift = random.below(9);
      const data = randomBytes(shift + sectors * sectorBytes).subarray(shift);
      const plain = Uint8Array.from(data);
      const encrypted = cipher.encrypt(first, data);
      expect(Buffer.compare(data, plain), 'the data stays').toBe(0);
      expect(Buffer.compare(encrypted, reference(names, key, first, plain))).toBe(0);
      data.set(encrypted);
      cipher.decrypt(first, data);
      expect(Buffer.compare(data, plain), 'and comes back').toBe(0);
    }
  });

  test.each([
    [{ ...named('xts', 'plain64'), algorithm: 'serpent' }, 64, "Cipher algorithm 'serpent' is not supported"],
    [named('ctr', 'plain64'), 32, "Cipher mode 'ctr' is not supported"],
    [named('xts', 'benbi'), 64, "IV generator 'benbi' is not supported"],
    [named('cbc', 'essiv'), 32, "IV generator 'essiv' needs the name of a hash"],
    [named('cbc', 'essiv', 'whirlpool'), 32, "Hash algorithm 'whirlpool' is not supported"],
    [named('cbc', 'essiv', 'sha1'), 32, "IV hash algorithm 'sha1' gives a key that AES does not take"],
    [named('xts', 'plain64'), 30, "Cipher 'aes-xts' has no keys of 30 bytes"],
  ])('%o is refused by name', (names, keyBytes, message) => {
    expect(() => createSectorCipher(platform, names, new Uint8Array(keyBytes))).toThrow(message);
  });
});
