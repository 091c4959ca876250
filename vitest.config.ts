import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** Imports `*.wasm` as bytes, as the bundles do. */
const wasmAsBytes = {
  name: 'wasm-as-bytes',
  load(id: string): string | undefined {
    if (!id.endsWith('.wasm')) return undefined;
    return `export default Uint8Array.from(Buffer.from('${readFileSync(id).toString('base64')}', 'base64'))`;
  },
};

export default defineConfig({
  plugins: [{ ...wasmAsBytes, enforce: 'pre' }],
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
  },
});
