/**
 * Our machine emulator as a program of its own, built for the tests that need it, under a name that makes its messages
 * those of qemu-system-x86_64.
 */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll } from 'vitest';

/** Call once, at the top of a test file; gives the command to start, with its first arguments. */
export function builtSystemProgram(): () => readonly [string, string] {
  return builtProgram('qemu-system-x86_64');
}

/** The same with a name of one's choice: by its own, `blockyard.mjs`, the first argument chooses. */
export function builtProgram(name = 'blockyard.mjs'): () => readonly [string, string] {
  const root = resolve(import.meta.dirname, '../..');
  let directory = '';
  beforeAll(async () => {
    // Below the repository, so that packages are found.
    directory = mkdtempSync(join(root, 'node_modules/.blockyard-'));
    await build({
      absWorkingDir: root,
      entryPoints: ['host/cli/main.ts'],
      outfile: join(directory, 'blockyard.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      loader: { '.wasm': 'binary', '.bin': 'binary' },
      external: ['koffi', '@cloudpss/zstd', 'v86'],
      logLevel: 'warning',
    });
    if (name !== 'blockyard.mjs') symlinkSync('blockyard.mjs', join(directory, name));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return () => [process.execPath, join(directory, name)];
}

/** A directory for one session of each. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'blockyard-system-'));
}
