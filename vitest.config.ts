import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Imports `*.wasm` and `*.bin` as bytes, as the bundles do. */
const binariesAsBytes = {
  name: 'binaries-as-bytes',
  load(id: string): string | undefined {
    if (!/\.(wasm|bin)$/.test(id)) return undefined;
    return `export default Uint8Array.from(Buffer.from('${readFileSync(id).toString('base64')}', 'base64'))`;
  },
};

export default defineConfig({
  plugins: [{ ...binariesAsBytes, enforce: 'pre' }],
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Most tests wait for programs that they have started: two fit on two processors.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Costs a look at everything that is open, after every test.
    setupFiles: process.env['LEAKS'] === '1' ? ['test/support/leaks.setup.ts'] : [],
  },
});
