// Builds the page: dist/web/ holds all that a browser loads of it but the library (dist/browser/, built before) and v86. What starts with
// the page is in its first file and those that index.html names beside it; what a machine needs is loaded when one starts.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';

/** They are served beside the page, with the library. */
const partsOfLibrary = {
  name: 'parts-of-library',
  setup({ onResolve }) {
    onResolve({ filter: /^blockyard:/ }, ({ path }) => ({
      path: `${path.replace('blockyard:', '/browser/parts/')}.js`,
      external: true,
    }));
  },
};

/** `modules` gets the path of each module that is in it. */
export async function buildWeb(root, modules) {
  const folder = join(root, 'dist/web');
  mkdirSync(folder, { recursive: true });
  const common = {
    absWorkingDir: root,
    outdir: 'dist/web',
    bundle: true,
    platform: 'browser',
    target: 'es2022',
    minify: true,
    logLevel: 'warning',
  };
  const { metafile } = await build({
    ...common,
    entryPoints: { app: 'host/web/app.ts', style: 'host/web/style.css' },
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    metafile: true,
    format: 'esm',
    conditions: ['production'],
    loader: { '.wasm': 'binary', '.bin': 'binary' },
    plugins: [partsOfLibrary],
  });
  for (const path of Object.keys(metafile.inputs)) modules.add(path);
  const page = readFileSync(join(root, 'host/web/index.html'), 'utf8');
  writeFileSync(
    join(folder, 'index.html'),
    withPreloads(page, importsOf(metafile.outputs, 'dist/web/app.js')),
  );
  await build({
    ...common,
    entryPoints: { 'service-worker': 'host/web/service-worker.ts' },
    format: 'iife',
    define: keptFiles(root),
  });
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

/** What the service worker keeps: paths as the page asks for them, and a name that is another one when a file is. */
function keptFiles(root) {
  const hash = createHash('sha256');
  const found = [];
  for (const [folder, prefix] of [
    ['dist/web', ''],
    ['dist/browser', 'browser/'],
  ]) {
    const names = readdirSync(join(root, folder), { recursive: true }).sort();
    for (const name of names.filter(
      (name) => /\.(html|css|js)$/.test(name) && name !== 'service-worker.js',
    )) {
      hash.update(name).update(readFileSync(join(root, folder, name)));
      found.push(`${prefix}${name}`);
    }
  }
  const files = ['./', ...found, 'offer.json', 'v86/libv86.mjs', 'v86/v86.wasm'];
  return {
    pageFiles: JSON.stringify(files),
    buildName: JSON.stringify(hash.digest('hex').slice(0, 16)),
  };
}
