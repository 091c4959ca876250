/** Encryption by Node's OpenSSL. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Ciphers } from '../platform.ts';

export const ciphers: Ciphers = {
  decryptCbc(data, key, iv) {
    const decipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  },

  applyCtr: (data, key, iv) => createCipheriv('aes-256-ctr', key, iv).update(data),

  encryptBlock: (block, key) => createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(block),
};
