// Builds the page: dist/web/ holds all that a browser loads of it but the library (dist/browser/) and v86. What starts with
// the page is in its first file and those that index.html names beside it; what a machine needs is loaded when one starts.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';

export async function buildWeb(root) {
  const folder = join(root, 'dist/web');
  mkdirSync(folder, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { app: 'host/web/app.ts', style: 'host/web/style.css' },
    outdir: 'dist/web',
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['production'],
    loader: { '.wasm': 'binary', '.bin': 'binary' },
    minify: true,
    logLevel: 'warning',
  });
  const page = readFileSync(join(root, 'host/web/index.html'), 'utf8');
  writeFileSync(
    join(folder, 'index.html'),
    withPreloads(page, importsOf(metafile.outputs, 'dist/web/app.js')),
  );
}

/** What a file imports, and these import, relative to the page. */
function importsOf(outputs, name, found = new Set()) {
  for (const { path, kind } of outputs[name].imports) {
    if (kind !== 'import-statement' || found.has(path)) continue;
    found.add(path);
    importsOf(outputs, path, found);
  }
  return found;
}

/** Otherwise a browser would learn of them only from the first file. */
function withPreloads(page, paths) {
  const script = /^( *)<script type="module"/m;
  const links = [...paths].map(
    (path) => `$1<link rel="modulepreload" href="${relative('dist/web', path)}" />\n`,
  );
  return page.replace(script, (match, indent) => links.join('').replaceAll('$1', indent) + match);
}
