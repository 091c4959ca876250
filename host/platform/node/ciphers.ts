/** Encryption by Node's OpenSSL. */
import { createDecipheriv } from 'node:crypto';
import type { Ciphers } from '../platform.ts';

export const ciphers: Ciphers = {
  decryptCbc(data, key, iv) {
    const decipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  },
};
