// Says how big the library for web pages is, compressed as servers send it, and fails when it is more than it may be.
// Counted is what a page loads to open, write and back up disks; not counted is what is loaded when it is used first: pako
// for deflate, the WebAssembly of zstd, the check of qcow2 images, what changes their size and their snapshots, and saved machines.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const folder = resolve(dirname(fileURLToPath(import.meta.url)), '../../dist/browser');
const maxBytes = 150 * 1024;

const code = (name) => readFileSync(join(folder, name), 'utf8');
const named = (pattern, name) =>
  [...code(name).matchAll(pattern)].map(([, target]) => join(dirname(name), target));
const imports = (name) => named(/\b(?:from|import)\s*"(\.[^"]+)"/g, name);
const importsLater = (name) => named(/\bimport\("(\.[^"]+)"\)/g, name);

/** All that is loaded with `names`. */
function loadedWith(names, loaded = new Set()) {
  for (const name of names) {
    if (loaded.has(name)) continue;
    loaded.add(name);
    loadedWith(imports(name), loaded);
  }
  return loaded;
}

// The worker loads its service as soon as it runs.
const counted = loadedWith(['index.js', 'worker.js', ...importsLater('worker.js')]);
const later = loadedWith([...counted].flatMap(importsLater));

let total = 0;
const show = (bytes, text) => console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  ${text}`);
for (const name of new Set([...counted, ...later])) {
  const bytes = gzipSync(code(name), { level: 9 }).length;
  if (counted.has(name)) total += bytes;
  show(bytes, counted.has(name) ? name : `${name} (on demand, not counted)`);
}
show(total, `blockyard/browser, gzipped; at most ${maxBytes / 1024} KiB`);
if (total > maxBytes) process.exitCode = 1;
