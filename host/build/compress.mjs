// Compresses what `blockyard web` sends of the build: for each file of dist/web/ and dist/browser/ that gains by it there are
// dist/compressed/FOLDER/FILE.br and .gz. They are made here once, as small as they get, and not while somebody waits.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const compressors = {
  '.br': (bytes) =>
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  '.gz': (bytes) => gzipSync(bytes, { level: 9 }),
};
/** What fits into one packet anyway. */
const minBytes = 1024;

export function compressSite(root) {
  const target = join(root, 'dist/compressed');
  rmSync(target, { recursive: true, force: true });
  for (const folder of ['web', 'browser']) {
    for (const name of filesIn(join(root, 'dist', folder))) {
      const bytes = readFileSync(join(root, 'dist', folder, name));
      if (bytes.length < minBytes) continue;
      const path = join(target, folder, name);
      mkdirSync(dirname(path), { recursive: true });
      for (const [suffix, compress] of Object.entries(compressors)) {
        const compressed = compress(bytes);
        if (compressed.length < bytes.length) writeFileSync(path + suffix, compressed);
      }
    }
  }
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
}
