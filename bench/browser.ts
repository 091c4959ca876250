/**
 * `npm run bench:browser`: in Chromium, what disks in its private file system give through nodes of blockyard, against bare sync
 * access handles; and what a guest in v86 gets of them, against v86's own disks, in memory and on a web server. The profile is
 * kept on disk: a private window has another, much slower storage.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { chromium, type Page } from 'playwright';
import { type LoadResult, loadedBytes } from './guest-load.ts';

type Rates = Record<'bare' | 'raw' | 'qcow2', Record<string, number>>;

const page = `<!doctype html><link rel="icon" href="data:," /><script type="module" src="/v86-page.js"></script><script>
  globalThis.measureStorage = () => new Promise((resolve, reject) => {
    const worker = new Worker('/opfs-worker.js', { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
</script>`;

const { outputFiles } = await build({
  entryPoints: ['bench/opfs-worker.ts', 'bench/v86-page.ts'],
  bundle: true,
  // The worker is a file here, so that nobody asks for its texts.
  external: ['blockyard:*'],
  write: false,
  outdir: '/',
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  loader: { '.wasm': 'binary', '.bin': 'binary' },
});
const programs = new Map(outputFiles.map(({ path, text }) => [path, text]));

const folders: Readonly<Record<string, string>> = {
  '/blockyard/': resolve('dist/browser'),
  '/v86/': resolve('node_modules/v86/build'),
};
const disk = Buffer.alloc(loadedBytes);

function answer({ url: path = '', headers }: IncomingMessage, response: ServerResponse): void {
  const program = programs.get(path);
  const folder = Object.keys(folders).find((prefix) => path.startsWith(prefix));
  const file = folder && join(folders[folder]!, path.slice(folder.length)); // its key
  if (path === '/disk.img') sendDisk(headers.range, response);
  else if (program !== undefined) send(response, 'text/javascript', program);
  else if (file && existsSync(file)) {
    send(response, file.endsWith('.wasm') ? 'application/wasm' : 'text/javascript', readFileSync(file));
  } else send(response, 'text/html', page);
}

function send(response: ServerResponse, type: string, content: string | Buffer): void {
  response.writeHead(200, { 'content-type': type }).end(content);
}

function sendDisk(range: string | undefined, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(Number(to ?? loadedBytes - 1), loadedBytes - 1);
  response.writeHead(from === undefined ? 200 : 206, {
    'accept-ranges': 'bytes',
    'content-length': end - start + 1,
    etag: '"1"',
    ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${loadedBytes}` }),
  });
  response.end(disk.subarray(start, end + 1));
}

function printTable(columns: readonly string[], rows: Iterable<readonly [string, readonly string[]]>): void {
  const line = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(42)}${cells.map((cell) => cell.padStart(14)).join('')}\n`;
  process.stdout.write(line('', columns));
  for (const [name, cells] of rows) process.stdout.write(line(name, cells));
}

const rounded = (value: number): string => Math.round(value).toLocaleString('en');

async function benchStorage(tab: Page): Promise<void> {
  const { bare, raw, qcow2 } = (await tab.evaluate('globalThis.measureStorage()')) as Rates;
  printTable(
    ['bare', 'raw', 'qcow2'],
    Object.entries(bare).map(
      ([name, value]) => [name, [value, raw[name]!, qcow2[name]!].map(rounded)] as const, // the same measurements
    ),
  );
}

interface V86Column {
  readonly name: string;
  readonly loads: readonly LoadResult[];
  /** Of the time, how much the page's own thread had nothing to do. */
  readonly idle: number;
}

async function benchV86(tab: Page): Promise<void> {
  const columns: V86Column[] = [];
  for (const name of (await tab.evaluate('globalThis.v86Columns')) as string[])
    columns.push(await measureV86(tab, name));
  process.stdout.write('\na guest in v86, one request after the other\n');
  const loads = columns[0]!.loads.map(({ name, bytes }, i) => {
    const shown = ({ requestsPerSecond }: LoadResult): string =>
      bytes > 4096
        ? `${rounded((requestsPerSecond * bytes) / 1e6)} MB/s`
        : `${rounded(1e6 / requestsPerSecond)} µs`;
    return [name, columns.map((column) => shown(column.loads[i]!))] as const; // the same loads
  });
  const idle = columns.map((column) => `${rounded(100 * column.idle)} %`);
  printTable(
    columns.map(({ name }) => name),
    [...loads, ["the page's own thread is idle", idle]],
  );
}

async function measureV86(tab: Page, name: string): Promise<V86Column> {
  const session = await tab.context().newCDPSession(tab);
  await session.send('Performance.enable');
  /** Seconds: by the clock, and in tasks of the page's thread. */
  const times = async (): Promise<readonly number[]> => {
    const { metrics } = await session.send('Performance.getMetrics');
    return ['Timestamp', 'TaskDuration'].map((wanted) => metrics.find(({ name }) => name === wanted)!.value); // Chromium has both
  };
  const [start, busyBefore] = (await times()) as [number, number];
  const loads = (await tab.evaluate(`globalThis.measureV86(${JSON.stringify(name)})`)) as LoadResult[];
  const [end, busyAfter] = (await times()) as [number, number];
  await session.detach();
  return { name, loads, idle: 1 - (busyAfter - busyBefore) / (end - start) };
}

const server = createServer(answer);
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const profile = mkdtempSync(join(tmpdir(), 'blockyard-bench-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await benchStorage(tab);
  await benchV86(tab);
} finally {
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
