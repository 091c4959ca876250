// Builds the page: dist/web/ holds all that a browser loads of it but the library (dist/browser/) and v86.
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
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

export async function buildWeb(root) {
  const folder = join(root, 'dist/web');
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: { app: 'host/web/app.ts', style: 'host/web/style.css' },
    outdir: 'dist/web',
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['production'],
    loader: { '.wasm': 'binary', '.bin': 'binary' },
    minify: true,
    plugins: [partsOfLibrary],
    logLevel: 'warning',
  });
  copyFileSync(join(root, 'host/web/index.html'), join(folder, 'index.html'));
}
