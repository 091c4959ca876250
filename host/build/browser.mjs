// Builds the library for web pages: dist/browser/index.js for the page, worker.js and what it loads for the worker. The
// core travels compressed inside; what only few need (zstd) is a chunk that is fetched when first used.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { build } from 'esbuild';

/**
 * Text in a module costs a third more than bytes, and compressed text stays what it is: so bytes go in compressed. The core
 * is the one that was compiled to be small: a page waits for its storage, not for the core.
 */
const compressedWasm = (core) => ({
  name: 'compressed-wasm',
  setup({ onLoad }) {
    onLoad({ filter: /core\.wasm$/ }, () => ({
      contents: `
        const text = '${deflateRawSync(readFileSync(core), { level: 9 }).toString('base64')}';
        const packed = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
        const plain = packed.stream().pipeThrough(new DecompressionStream('deflate-raw'));
        export default new Uint8Array(await new Response(plain).arrayBuffer());`,
    }));
  },
});

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
    plugins: [compressedWasm(join(root, 'build/core-small.wasm'))],
    minify: true,
    // Fields without a value are not written out: nobody asks whether they are there.
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false, target: 'es2022' } },
    logLevel: 'warning',
  });
}
