// Builds everything that is run: the core (assembly/ → build/core.wasm; for pages, where bytes count, core-small.wasm), the embedded guest, then the bundles in dist/ with the core
// embedded, so that the package needs no file lookup at run time. `--types` also emits the declarations that the
// published package carries; the code itself is checked by `npm run check`.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildBrowser } from './browser.mjs';
import { buildGuest } from './guest.mjs';
import { buildWeb } from './web.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const bin = (name) => resolve(root, 'node_modules/.bin', name);

mkdirSync(resolve(root, 'build'), { recursive: true });
for (const target of ['release', 'small']) {
  execFileSync(bin('asc'), ['--config', 'asconfig.json', '--target', target], {
    cwd: root,
    stdio: 'inherit',
  });
}

buildGuest(root);

rmSync(resolve(root, 'dist'), { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { blockyard: 'host/cli/main.ts', index: 'host/index.ts', bench: 'bench/main.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  loader: { '.wasm': 'binary', '.bin': 'binary' },
  external: ['koffi', '@cloudpss/zstd', 'v86'],
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  // For the stacks of internal errors. Node reads the maps only when it is asked to (BLOCKYARD_DEBUG).
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
});
chmodSync(resolve(root, 'dist/blockyard.js'), 0o755);

await buildBrowser(root);
await buildWeb(root);

if (process.argv.includes('--types')) {
  const options = ['--noEmit', 'false', '--emitDeclarationOnly', '--allowImportingTsExtensions'];
  execFileSync(bin('tsc'), [...options, '--outDir', 'dist/types'], { cwd: root, stdio: 'inherit' });
}
