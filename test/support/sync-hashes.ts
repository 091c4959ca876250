/** Hashes that derive keys at once: in a simulation nothing else may take its time. */
import { pbkdf2Sync } from 'node:crypto';
import { hashes } from '../../host/platform/node/hashes.ts';
import type { Hashes } from '../../host/platform/platform.ts';

export const syncHashes: Hashes = {
  ...hashes,
  named(name) {
    const hash = hashes.named(name);
    return (
      hash && {
        digestBytes: hash.digestBytes,
        digest: (data) => hash.digest(data),
        deriveKey: async (password, salt, iterations, bytes) =>
          pbkdf2Sync(password, salt, iterations, bytes, name),
      }
    );
  },
};
