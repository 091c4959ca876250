// Says how big the library for web pages is, compressed as servers send it, and fails when it is more than it may be.
// Counted is all that a page loads to open, write and back up disks; not counted is what only an image with zstd clusters, or
// writing compressed ones, makes it load later.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

export const maxBytes = 150 * 1024;

/** Gzipped bytes of each file, by its name below dist/browser. */
export function sizes(folder = join(root, 'dist/browser')) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .map((name) => ({
      name,
      bytes: gzipSync(readFileSync(join(folder, name)), { level: 9 }).length,
      isCounted: !/\b(pako|zstd)\b/.test(name),
    }))
    .sort((a, b) => b.bytes - a.bytes);
}

/** What counts, in bytes. */
export function total(files = sizes()) {
  return files.filter(({ isCounted }) => isCounted).reduce((sum, { bytes }) => sum + bytes, 0);
}

function report() {
  const files = sizes();
  const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
  for (const { name, bytes, isCounted } of files) {
    console.log(`${kib(bytes).padStart(10)}  ${name}${isCounted ? '' : '  (on demand, not counted)'}`);
  }
  const sum = total(files);
  console.log(`${kib(sum).padStart(10)}  blockyard/browser, gzipped; at most ${kib(maxBytes)}`);
  if (sum > maxBytes) process.exitCode = 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) report();
