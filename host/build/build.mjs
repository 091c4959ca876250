// Builds everything that is run: the core (assembly/ → build/core.wasm), the embedded guest, then the bundles in dist/ with the core
// embedded, so that the package needs no file lookup at run time. `--types` also emits the declarations that the
// published package carries; the code itself is checked by `npm run check`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBrowser } from './browser.mjs';
import { compressSite } from './compress.mjs';
import { buildGuest } from './guest.mjs';
import { buildNode } from './node.mjs';
import { buildWeb } from './web.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const bin = (name) => resolve(root, 'node_modules/.bin', name);

mkdirSync(resolve(root, 'build'), { recursive: true });
execFileSync(bin('asc'), ['--config', 'asconfig.json', '--target', 'release'], {
  cwd: root,
  stdio: 'inherit',
});

buildGuest(root);

rmSync(resolve(root, 'dist'), { recursive: true, force: true });
await buildNode(root);
await buildBrowser(root);
await buildWeb(root);
compressSite(root);

if (process.argv.includes('--types')) {
  const options = ['--noEmit', 'false', '--emitDeclarationOnly', '--allowImportingTsExtensions'];
  execFileSync(bin('tsc'), [...options, '--outDir', 'dist/types'], { cwd: root, stdio: 'inherit' });
}
