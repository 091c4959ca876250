// Builds the page: dist/web/ holds all that a browser loads of it but the library (dist/browser/, built before) and v86.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

export async function buildWeb(root) {
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
  await build({
    ...common,
    entryPoints: { app: 'host/web/app.ts', style: 'host/web/style.css' },
    format: 'esm',
    conditions: ['production'],
    loader: { '.wasm': 'binary', '.bin': 'binary' },
  });
  copyFileSync(join(root, 'host/web/index.html'), join(folder, 'index.html'));
  await build({
    ...common,
    entryPoints: { 'service-worker': 'host/web/service-worker.ts' },
    format: 'iife',
    define: keptFiles(root),
  });
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
