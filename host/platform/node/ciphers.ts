/** Encryption by Node's OpenSSL. */
import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto';
import type { BlockCipher, Ciphers } from '../platform.ts';

export const ciphers: Ciphers = {
  decryptCbc(data, key, iv) {
    const decipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  },

  applyCtr: (data, key, iv) => createCipheriv('aes-256-ctr', key, iv).update(data),

  encryptBlock: (block, key) => createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(block),

  aesBlocks: (key) => new AesBlocks(key),
};

/** OpenSSL's ciphers are kept, for making one takes as long as enciphering kilobytes: block by block, there is nothing to end. */
class AesBlocks implements BlockCipher {
  private readonly bits: number;
  private readonly encipher: Cipher;
  private decipher: Decipher | undefined;

  constructor(private readonly key: Uint8Array) {
    this.bits = key.length * 8;
    this.encipher = createCipheriv(`aes-${this.bits}-ecb`, key, null).setAutoPadding(false);
  }

  encrypt(data: Uint8Array): Uint8Array {
    return this.encipher.update(data);
  }

  decrypt(data: Uint8Array): Uint8Array {
    this.decipher ??= createDecipheriv(`aes-${this.bits}-ecb`, this.key, null).setAutoPadding(false);
    return this.decipher.update(data);
  }

  encryptChained(data: Uint8Array, iv: Uint8Array): Uint8Array {
    return createCipheriv(`aes-${this.bits}-cbc`, this.key, iv).setAutoPadding(false).update(data);
  }
}
