/**
 * `npm run bench:browser`: disks in the private file system of Chromium, through nodes of blockyard, against bare sync
 * access handles. The profile is kept on disk: a private window has another, much slower storage.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright';

type Results = Record<'bare' | 'raw' | 'qcow2', Record<string, number>>;

const page = `<!doctype html><link rel="icon" href="data:," /><script>
  globalThis.results = new Promise((resolve, reject) => {
    const worker = new Worker('/worker.js', { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
</script>`;

const { outputFiles } = await build({
  entryPoints: ['bench/opfs-worker.ts'],
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  loader: { '.wasm': 'binary' },
});
const program = outputFiles[0]!.text; // one entry

const server = createServer(({ url }, response) => {
  const isProgram = url === '/worker.js';
  response.writeHead(200, { 'content-type': isProgram ? 'text/javascript' : 'text/html' });
  response.end(isProgram ? program : page);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const profile = mkdtempSync(join(tmpdir(), 'blockyard-bench-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const { bare, raw, qcow2 } = (await tab.evaluate('globalThis.results')) as Results;
  const column = (value: number): string => Math.round(value).toLocaleString('en').padStart(10);
  process.stdout.write(
    `${''.padEnd(42)}${['bare', 'raw', 'qcow2'].map((name) => name.padStart(10)).join('')}\n`,
  );
  for (const [name, value] of Object.entries(bare)) {
    const values = [value, raw[name]!, qcow2[name]!]; // the same measurements
    process.stdout.write(`${name.padEnd(42)}${values.map(column).join('')}\n`);
  }
} finally {
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
