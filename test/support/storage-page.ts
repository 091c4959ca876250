/** A page with a worker of the storage tests, and its tasks as functions of the test. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { build } from 'esbuild';
import type { Page } from 'playwright';

const root = resolve(import.meta.dirname, '../..');

/** The worker's program. */
export async function bundleWorker(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['test/browser/pages/storage-worker.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    loader: { '.wasm': 'binary' },
    logLevel: 'warning',
  });
  return outputFiles[0]!.text; // one entry
}

export const pageText = readFileSync(resolve(root, 'test/browser/pages/storage.html'), 'utf8');

/** What the page has. */
declare const call: (task: string, argument: unknown) => Promise<unknown>;

/** Runs a task in the page's worker. Errors: its text, as `ENOSPC No space left on device`. */
export async function run<T>(page: Page, task: string, argument?: unknown): Promise<T> {
  const outcome = await page.evaluate(
    ([name, given]) =>
      call(name, given).then(
        (result) => ({ result }),
        (error: unknown) => ({ error: String(error) }),
      ),
    [task, argument] as [string, unknown],
  );
  if ('error' in outcome) throw new Error(outcome.error);
  return outcome.result as T;
}

/** The page at `origin`, with its worker running. */
export async function load(page: Page, origin: string): Promise<Page> {
  await page.goto(`${origin}/storage.html`);
  await page.waitForFunction('globalThis.ready');
  return page;
}
