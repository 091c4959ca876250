// Says how big the library for web pages is, compressed as servers send it, and fails when it is more than it may be.
// Counted is what a page loads to open, write and back up disks; not counted is what is loaded when it is used first: pako
// for deflate, the WebAssembly of zstd, the check of qcow2 images, what changes their size and their snapshots, saved machines, handing images over, emulators in the worker, exports,
// the jobs commit, stream and mirror, and the description of all commands; nor worker.js, which takes the place of
// parts/worker.js and of those but zstd where a page says so.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const folder = resolve(dirname(fileURLToPath(import.meta.url)), '../../dist/browser');
const maxBytes = 150 * 1024;

const counted = ['index.js', 'parts/worker.js'];
const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'));
const others = files.filter((name) => !counted.includes(name));

let total = 0;
const show = (bytes, text) => console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  ${text}`);
for (const name of [...counted, ...others]) {
  const bytes = gzipSync(readFileSync(join(folder, name)), { level: 9 }).length;
  if (counted.includes(name)) total += bytes;
  const when = name === 'worker.js' ? 'instead of parts/' : 'on demand';
  show(bytes, counted.includes(name) ? name : `${name} (${when}, not counted)`);
}
show(total, `blockyard/browser, gzipped; at most ${maxBytes / 1024} KiB`);
if (total > maxBytes) process.exitCode = 1;
