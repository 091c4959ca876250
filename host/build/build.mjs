// Builds everything that is run: the modules of the core (assembly/ → build/*.wasm), the embedded guest, then the bundles in dist/
// with the core embedded, so that the package needs no file lookup at run time, the manual pages, and the declarations of what the package exports.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBrowser } from './browser.mjs';
import { compressSite } from './compress.mjs';
import { buildGuest } from './guest.mjs';
import { writeLicenses } from './licenses.mjs';
import { buildManual } from './manual.mjs';
import { buildNode } from './node.mjs';
import { buildWeb } from './web.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const bin = (name) => resolve(root, 'node_modules/.bin', name);

mkdirSync(resolve(root, 'build'), { recursive: true });
// Bitmaps and scans are as quick when they are also made small, which the library for pages gains from.
for (const [entry, name, ...more] of [
  ['assembly/index.ts', 'core', '--shrinkLevel', '1'],
  ['assembly/qcow2/index.ts', 'qcow2'],
  ['assembly/qcow2/check-index.ts', 'qcow2-check'],
]) {
  const options = ['--config', 'asconfig.json', '--target', 'release', '--outFile', `build/${name}.wasm`];
  execFileSync(bin('asc'), [entry, ...options, ...more], { cwd: root, stdio: 'inherit' });
}

buildGuest(root);

rmSync(resolve(root, 'dist'), { recursive: true, force: true });
const modules = new Set();
await buildNode(root, modules);
await buildManual(root);
await buildBrowser(root, modules);
await buildWeb(root, modules);
writeLicenses(root, modules);
compressSite(root);
execFileSync(bin('tsc'), ['-p', 'host/build/tsconfig.types.json'], { cwd: root, stdio: 'inherit' });
