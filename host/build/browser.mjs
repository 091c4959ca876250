// Builds the library for web pages: dist/browser/index.js for the page, worker.js and what it loads for the worker. The
// core travels compressed inside; what only few need (zstd) is a chunk that is fetched when first used.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { build } from 'esbuild';

/** Text in a module costs a third more than bytes, and compressed text stays what it is: so bytes go in compressed. */
const compressedWasm = {
  name: 'compressed-wasm',
  setup({ onLoad }) {
    onLoad({ filter: /core\.wasm$/ }, ({ path }) => ({
      contents: `
        const text = '${deflateRawSync(readFileSync(path), { level: 9 }).toString('base64')}';
        const packed = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
        const plain = packed.stream().pipeThrough(new DecompressionStream('deflate-raw'));
        export default new Uint8Array(await new Response(plain).arrayBuffer());`,
    }));
  },
};

export async function buildBrowser(root) {
  const folder = join(root, 'dist/browser');
  rmSync(folder, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: { index: 'host/library/index.ts', worker: 'host/library/worker.ts' },
    outdir: folder,
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    plugins: [compressedWasm],
    minify: true,
    logLevel: 'warning',
  });
}
