/** Images on web servers as they are, of another origin than the page, in Chromium: each thing that servers do, alone. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { SwitchedServer } from '../support/switched-server.ts';
import { BehavingFile, refusalOf, switches, wellBehaved } from '../support/web-behaviour.ts';

type Library = typeof import('../../host/library/index.ts');
type Yard = Awaited<ReturnType<Library['openBlockyard']>>;
declare const library: Library;
declare const yard: Yard;
declare const troubles: boolean[];

const scratch = scratchDirectory();
const dist = resolve(import.meta.dirname, '../../dist/browser');
const size = 200_704;
const content = Uint8Array.from({ length: size }, (_, i) => (i * 31) ^ (i >>> 9));
const pages = new PageServer();
const images = new SwitchedServer();
let browser: BrowserContext;
let page: Page;

beforeAll(async () => {
  if (!haveChromium) return;
  pages.find = (path) => {
    if (path === '/favicon.ico') return '';
    if (path === '/page.html')
      return '<script type="module">globalThis.library = await import("/blockyard/index.js")</script>';
    const file = join(dist, path.replace('/blockyard/', ''));
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  const origin = await pages.start();
  await images.start();
  browser = await launchChromium(scratch('profile'));
  page = await browser.newPage();
  await page.goto(`${origin}/page.html`);
  await page.waitForFunction('globalThis.library');
});

afterAll(async () => {
  await browser?.close();
  await pages.stop();
  await images.stop();
});

/** Opens the image in the page; gives why it cannot be opened. */
function open(url: string): Promise<string | undefined> {
  return page.evaluate(async (url) => {
    const made = await library.openBlockyard({ httpCacheBytes: 0 });
    const told: boolean[] = [];
    made.on('X_BLOCK_TROUBLE', ({ data }) => told.push(data!['lasting'] as boolean));
    Object.assign(globalThis, { yard: made, troubles: told });
    try {
      const options = { url, timeout: 1, readahead: 0 };
      await made.add({ driver: 'http', 'node-name': 'base', 'read-only': true, ...options });
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }, url);
}

function digest(): Promise<string> {
  return page.evaluate(async (size) => {
    const { disk } = await yard.disk({ node: 'base', kind: 'cdrom', cacheBytes: 0 });
    const content = new Uint8Array(size);
    await disk.read(0, content);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
    return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }, size);
}

describe.skipIf(!haveChromium)('a page reads from a server that', () => {
  test.each(Object.entries(switches))('%s', async (name, { troubles: given = [], ...switched }) => {
    const file = new BehavingFile(content, { ...wellBehaved, ...switched });
    images.file = file;
    const refusal = await open(`${images.origin}/${encodeURIComponent(name)}.img`);
    // What cannot be unpacked, Chromium does not show.
    const expected =
      file.behaviour.ranges === 'packed' ? 'Failed to fetch' : refusalOf(file.behaviour, false);
    if (expected === undefined) expect(refusal).toBeUndefined();
    else expect(refusal).toContain(`CURL: Error opening file: ${expected}`);
    if (refusal === undefined) {
      file.behaviour.troubles = [...given];
      expect(await digest()).toBe(createHash('sha256').update(content).digest('hex'));
      expect(file.behaviour.troubles).toEqual([]);
      const isTold = given.some(({ kind }) => kind !== 'short');
      expect((await page.evaluate(() => troubles))[0]).toBe(isTold ? true : undefined);
    }
    await page.evaluate(() => yard.close());
  });
});
