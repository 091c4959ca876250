/**
 * Disks of `blockyard/browser` that fail in Chromium: the machine stops, the monitor says why, and what was asked for is
 * done when the machine goes on after the cause is gone.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const size = 4 << 20;
const far = 3 << 20;
const image = Uint8Array.from({ length: size }, (_, i) => (i >> 16) + 1);

/** Of each test one of its own, and so an origin whose storage is empty. */
let server: PageServer;
let origin: string;
let browser: BrowserContext;
let page: Page;

type Library = typeof import('../../host/library/index.ts');
type Yard = Awaited<ReturnType<Library['openBlockyard']>>;
declare const library: Library;
declare const yard: Yard;
declare const disk: Awaited<ReturnType<Yard['disk']>>;

const files: Readonly<Record<string, string>> = {
  '/favicon.ico': '',
  '/empty.html':
    '<title>test</title><input type="file"><script type="module">globalThis.library = await import("/blockyard/index.js")</script>',
};

function serve(path: string): Uint8Array | string | undefined {
  if (path === '/disk.img') return image;
  if (!path.startsWith('/blockyard/')) return files[path];
  const file = join(root, 'dist/browser', path.slice('/blockyard/'.length));
  return existsSync(file) ? readFileSync(file) : undefined;
}

beforeAll(async () => {
  if (haveChromium) browser = await launchChromium(scratch('profile'));
});

afterAll(() => browser?.close());

beforeEach(async () => {
  if (!haveChromium) return;
  server = new PageServer();
  server.find = serve;
  origin = await server.start();
  page = await browser.newPage();
  await page.goto(`${origin}/empty.html`);
  await page.waitForFunction('globalThis.library');
});

afterEach(async () => {
  if (!haveChromium) return;
  await page.evaluate('globalThis.yard?.close()');
  await page.close();
  await server.stop();
});

/** An overlay of `base`, which is looked at once, so that its first part is at hand. */
async function open(base: object): Promise<void> {
  await page.evaluate(
    async ({ base, url }) => {
      const made = await library.openBlockyard();
      const events: string[] = [];
      made.on('*', ({ event }) => events.push(event));
      const blob = document.querySelector('input')!.files?.[0];
      if (blob) await made.registerBlob('chosen', blob);
      const options = url === undefined ? base : { ...base, url };
      await made.openOverlay({ node: 'hda', file: 'hda.qcow2', base: options as never });
      const disk = await made.disk({ node: 'hda', cacheBytes: 0 });
      await new Promise((resolve) => disk.get(0, 512, resolve));
      Object.assign(globalThis, { yard: made, disk, events });
    },
    { base, url: 'driver' in base && base.driver === 'http' ? `${origin}/disk.img` : undefined },
  );
}

/** Begins requests, waits until the machine stands, and gives the reason. */
async function stopped(what: 'read' | 'write'): Promise<{ nospace: boolean; message: string }> {
  await page.evaluate(
    ({ what, far, bytes }) => {
      const done = new Promise<number>((resolve) => {
        if (what === 'read') disk.get(far, 512, (data) => resolve(data[0]!));
        else disk.set(far - bytes, new Uint8Array(bytes).fill(77), () => resolve(77));
      });
      Object.assign(globalThis, { done });
    },
    { what, far, bytes: 1 << 20 },
  );
  await page.waitForFunction("events.includes('STOP')");
  expect(await page.evaluate(() => yard.qmp('query-status'))).toMatchObject({ status: 'io-error' });
  const found = (await page.evaluate(() => yard.qmp('x-query-block-failures'))) as never[];
  expect(found).toMatchObject([{ qdev: 'hda', 'node-name': 'hda', operation: what, action: 'stop' }]);
  return found[0]!;
}

/** What the request got that had to wait. */
async function resumed(): Promise<number> {
  await page.evaluate(() => yard.qmp('cont'));
  const got = (await page.evaluate('done')) as number;
  expect(await page.evaluate(() => yard.qmp('query-status'))).toMatchObject({ status: 'running' });
  expect(await page.evaluate(() => yard.qmp('x-query-block-failures'))).toEqual([]);
  return got;
}

describe.skipIf(!haveChromium)('a disk in a browser', () => {
  const http = { driver: 'http', readahead: 0, 'x-retry': 0 };
  const content = image[far]!;

  test('waits while the file on the server is another one, which it never mixes with the former', async () => {
    await open(http);
    server.etag = '"2"';
    const { message } = await stopped('read');
    expect(message).toMatch(/The file on the server has changed: its ETag was "1" and is "2"$/);
    server.etag = '"1"';
    expect(await resumed()).toBe(content);
  });

  test('waits while connections are lost', async () => {
    await open(http);
    server.loses = true;
    expect((await stopped('read')).message).toMatch(/Failed to fetch: the server cannot be reached$/);
    server.loses = false;
    expect(await resumed()).toBe(content);
  });

  test('waits while nobody listens where the server was', async () => {
    await open(http);
    await server.stop();
    expect((await stopped('read')).message).toMatch(/Failed to fetch: the server cannot be reached$/);
    await server.start(Number(new URL(origin).port));
    expect(await resumed()).toBe(content);
  });

  test('waits while a chosen file is gone or another one', async () => {
    const path = scratch('chosen.img');
    writeFileSync(path, image);
    await page.setInputFiles('input', path);
    await open({ driver: 'blob', filename: 'chosen' });
    renameSync(path, `${path}.moved`);
    expect((await stopped('read')).message).toContain(
      'the file was changed, moved or deleted after it was chosen',
    );
    writeFileSync(path, new Uint8Array(size));
    await page.evaluate('events.length = 0');
    await page.evaluate(() => yard.qmp('cont'));
    await page.waitForFunction("events.includes('STOP')");
    renameSync(`${path}.moved`, path);
    expect(await resumed()).toBe(content);
  });

  test('waits while the quota is full, and then everything is written', async () => {
    await open({ driver: 'memory', size });
    const used = await page.evaluate(async () => (await navigator.storage.estimate()).usage!);
    const cdp = await browser.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: used + (256 << 10) });
    expect(await stopped('write')).toMatchObject({ nospace: true, message: 'No space left on device' });
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    expect(await resumed()).toBe(77);
    const values = await page.evaluate(
      ({ far, bytes }) =>
        new Promise<number[]>((resolve) =>
          disk.get(far - bytes, bytes, (data) => resolve([...new Set(data)])),
        ),
      { far, bytes: 1 << 20 },
    );
    expect(values).toEqual([77]);
  });
});
