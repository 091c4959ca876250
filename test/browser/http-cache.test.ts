/** What a page keeps of images on web servers, in Chromium: the library as it is built, and the requests that reach the server. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { startKillable } from '../support/killable-chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';

type Library = typeof import('../../host/library/index.ts');
declare const library: Library;

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const chunkBytes = 65_536;
const chunks = 40;
const missingBytes = 2048;
/** The last chunk is short. */
const size = chunks * chunkBytes - missingBytes;
const server = new PageServer();
const files = new Map<string, Uint8Array>();
let origin: string;
let browser: BrowserContext;
let tests = 0;
/** Path of an image that no other test has. */
let image: string;

beforeAll(async () => {
  if (!haveChromium) return;
  server.find = (path) => {
    if (path === '/favicon.ico') return '';
    if (path === '/page.html') {
      return '<script type="module">globalThis.library = await import("/blockyard/index.js")</script>';
    }
    const file = join(root, 'dist/browser', path.replace('/blockyard/', ''));
    return files.get(path) ?? (existsSync(file) ? readFileSync(file) : undefined);
  };
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

beforeEach(() => {
  image = `/${++tests}.img`;
  files.set(image, contentOf(1));
  server.etag = '"1"';
  server.ranges.length = 0;
});

afterEach(async () => {
  for (const page of browser?.pages() ?? []) await page.close();
  if (!haveChromium) return;
  const page = await openPage();
  await page.evaluate(async () => {
    const yard = await library.openBlockyard();
    await yard.clearHttpCache();
    await yard.close();
  });
  await page.close();
});

/** No two chunks and no two versions are alike. */
function contentOf(version: number): Uint8Array {
  const content = new Uint8Array(size);
  const words = new Uint32Array(content.buffer, 0, Math.floor(size / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 0x9e3779b1) ^ version;
  return content;
}

const digestOf = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

async function openPage(context: { newPage(): Promise<Page> } = browser): Promise<Page> {
  const page = await context.newPage();
  return load(page);
}

async function load(page: Page): Promise<Page> {
  await page.goto(`${origin}/page.html`);
  await page.waitForFunction('globalThis.library');
  return page;
}

interface ReadOptions {
  httpCacheBytes?: number;
  path?: string;
  /** Leaves the image open. */
  stays?: boolean;
}

/** Reads the whole image in a block layer of its own, and gives the digest of what came. */
function readAll(
  page: Page,
  { httpCacheBytes, path = image, stays = false }: ReadOptions = {},
): Promise<string> {
  return page.evaluate(
    async ({ url, options, stays, size }) => {
      const yard = await library.openBlockyard(options);
      await yard.add({ driver: 'http', 'node-name': 'base', url, 'read-only': true });
      const { disk } = await yard.disk({ node: 'base', kind: 'cdrom', cacheBytes: 0 });
      const content = new Uint8Array(size);
      await disk.read(0, content);
      if (!stays) await yard.close();
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content));
      return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    },
    {
      url: origin + path,
      options: httpCacheBytes === undefined ? {} : { httpCacheBytes },
      stays,
      size,
    },
  );
}

function cachedBytes(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const yard = await library.openBlockyard();
    const bytes = await yard.httpCacheBytes();
    await yard.close();
    return bytes;
  });
}

describe.skipIf(!haveChromium)('what a page keeps of an image on a web server', () => {
  test('is not fetched again by the next page load', async () => {
    const page = await openPage();
    expect(await readAll(page, { stays: true })).toBe(digestOf(contentOf(1)));
    expect(server.ranges.length).toBeGreaterThan(0);
    server.ranges.length = 0;
    await load(page);
    expect(await readAll(page)).toBe(digestOf(contentOf(1)));
    expect(server.ranges).toEqual([]);
  });

  test('is not believed when the file has changed', async () => {
    const page = await openPage();
    await readAll(page);
    files.set(image, contentOf(2));
    server.etag = '"2"';
    server.ranges.length = 0;
    expect(await readAll(page)).toBe(digestOf(contentOf(2)));
    expect(server.ranges.length).toBeGreaterThan(0);
  });

  test('is nothing when it is switched off', async () => {
    const page = await openPage();
    await readAll(page, { httpCacheBytes: 0 });
    expect(await cachedBytes(page)).toBe(0);
    server.ranges.length = 0;
    await readAll(page, { httpCacheBytes: 0 });
    expect(server.ranges.length).toBeGreaterThan(0);
  });

  test('can be measured and forgotten', async () => {
    const page = await openPage();
    await readAll(page);
    const bytes = await cachedBytes(page);
    expect(bytes).toBeGreaterThanOrEqual(size);
    expect(bytes).toBeLessThan(size * 1.01);
    const left = await page.evaluate(async () => {
      const yard = await library.openBlockyard();
      await yard.clearHttpCache();
      const left = await yard.httpCacheBytes();
      await yard.close();
      return left;
    });
    expect(left).toBe(0);
    server.ranges.length = 0;
    expect(await readAll(page)).toBe(digestOf(contentOf(1)));
    expect(server.ranges.length).toBeGreaterThan(0);
    // The short chunk takes less than a whole place only when it comes last.
    expect(Math.abs((await cachedBytes(page)) - bytes)).toBeLessThanOrEqual(missingBytes);
  });

  test('can be forgotten while the image is open, and is collected again then', async () => {
    const page = await openPage();
    const url = origin + image;
    const values = await page.evaluate(async (url) => {
      const yard = await library.openBlockyard();
      await yard.add({ driver: 'http', 'node-name': 'base', url, 'read-only': true, readahead: 0 });
      const { disk } = await yard.disk({ node: 'base', kind: 'cdrom', cacheBytes: 0 });
      const sector = new Uint8Array(512);
      await disk.read(0, sector);
      let before = 0;
      while (before < 65536) before = await yard.httpCacheBytes();
      await yard.clearHttpCache();
      const between = await yard.httpCacheBytes();
      await disk.read(65536, sector);
      await disk.read(0, sector);
      await yard.close();
      return { between, last: sector[4] };
    }, url);
    expect(values).toEqual({ between: 0, last: contentOf(1)[4] });
    expect(await cachedBytes(page)).toBeGreaterThan(chunkBytes);
  });

  test('is not shared by two tabs at once: the second one fetches for itself', async () => {
    const [one, two] = [await openPage(), await openPage()];
    await readAll(one, { stays: true });
    server.ranges.length = 0;
    expect(await readAll(two)).toBe(digestOf(contentOf(1)));
    expect(server.ranges.length).toBeGreaterThan(0);
    await one.close();
    server.ranges.length = 0;
    expect(await readAll(two)).toBe(digestOf(contentOf(1)));
    expect(server.ranges).toEqual([]);
  });

  test('is bounded: images that were opened longest ago are dropped first', async () => {
    const page = await openPage();
    const paths = ['a', 'b', 'c'].map((name) => `${image}.${name}`);
    const [a, b, c] = paths as [string, string, string];
    for (const path of paths) files.set(path, contentOf(3));
    const httpCacheBytes = size * 2.3;
    for (const path of [a, b, a, c]) await readAll(page, { path, httpCacheBytes });
    expect(await cachedBytes(page)).toBeLessThan(httpCacheBytes);
    server.ranges.length = 0;
    for (const path of [c, a]) await readAll(page, { path, httpCacheBytes });
    expect(server.ranges).toEqual([]);
    expect(await readAll(page, { path: b, httpCacheBytes })).toBe(digestOf(contentOf(3)));
    expect(server.ranges.length).toBeGreaterThan(0);
  });

  test('is a part of an image that is larger than all that may be kept', async () => {
    const page = await openPage();
    const httpCacheBytes = 10 * chunkBytes;
    for (let i = 0; i < 2; i++) {
      server.ranges.length = 0;
      expect(await readAll(page, { httpCacheBytes })).toBe(digestOf(contentOf(1)));
    }
    expect(await cachedBytes(page)).toBeLessThanOrEqual(httpCacheBytes);
    const fetched = server.ranges.map((range) => range.split(' ')[1]!.split('-').map(Number));
    const bytes = fetched.reduce((sum, [first, last]) => sum + last! - first! + 1, 0);
    expect(bytes).toBeLessThanOrEqual(size - 8 * chunkBytes);
  });

  test('is fetched again, and nothing else, where it is damaged', async () => {
    const page = await openPage();
    await readAll(page);
    await page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('blockyard-chunks');
      for await (const handle of folder.values()) {
        const file = handle as FileSystemFileHandle;
        const writable = await file.createWritable({ keepExistingData: true });
        const { size } = await file.getFile();
        await writable.write({ type: 'write', position: 200_000, data: new Uint8Array([1, 2, 3, 4]) });
        await writable.truncate(size - 1000);
        await writable.close();
      }
    });
    server.ranges.length = 0;
    expect(await readAll(page)).toBe(digestOf(contentOf(1)));
    expect(server.ranges.length).toBe(2);
    server.ranges.length = 0;
    expect(await readAll(page)).toBe(digestOf(contentOf(1)));
    expect(server.ranges).toEqual([]);
  });

  test('makes room for disks', async () => {
    const page = await openPage();
    await readAll(page);
    const cdp = await browser.newCDPSession(page);
    const used = await page.evaluate(async () => (await navigator.storage.estimate()).usage!);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: used + (2 << 20) });
    try {
      const left = await page.evaluate(async (bytes) => {
        const yard = await library.openBlockyard();
        await yard.createImage('large.img', { size: bytes, format: 'raw' });
        const left = await yard.httpCacheBytes();
        await yard.removeFile('large.img');
        await yard.close();
        return left;
      }, size);
      expect(left).toBe(0);
      expect(await readAll(page)).toBe(digestOf(contentOf(1)));
    } finally {
      await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    }
  });

  test('is right after the browser was killed while it was being stored', { timeout: 120_000 }, async () => {
    const random = new Seeded(4);
    for (let round = 0; round < 4; round++) {
      const killed = await startKillable(scratch('killed'));
      try {
        const page = await openPage(killed);
        const goal = 1 + random.below(chunks - 12);
        let reach: () => void;
        const reached = new Promise<void>((resolve) => {
          reach = resolve;
        });
        await page.exposeFunction('came', (count: number) => {
          if (count >= goal) reach();
        });
        await Promise.race([reached, readOneByOne(page, `${image}.${round}`)]);
      } finally {
        await killed.kill();
      }
      server.ranges.length = 0;
      const after = await startKillable(scratch('killed'));
      try {
        const page = await openPage(after);
        expect(await readAll(page, { path: `${image}.${round}` })).toBe(digestOf(contentOf(round)));
        expect(server.ranges.length).toBeGreaterThan(0);
        server.ranges.length = 0;
        expect(await readAll(page, { path: `${image}.${round}` })).toBe(digestOf(contentOf(round)));
        expect(server.ranges).toEqual([]);
      } finally {
        await after.kill();
      }
    }
  });
});

declare const came: (count: number) => Promise<void>;

/** Tells how many chunks have come, and reads a few further while it does. */
async function readOneByOne(page: Page, path: string): Promise<void> {
  files.set(path, contentOf(Number(path.split('.').at(-1))));
  const reading = page.evaluate(
    async ({ url, chunks, chunkBytes }) => {
      const yard = await library.openBlockyard();
      await yard.add({ driver: 'http', 'node-name': 'base', url, 'read-only': true, readahead: 0 });
      const { disk } = await yard.disk({ node: 'base', kind: 'cdrom', cacheBytes: 0 });
      let told = Promise.resolve();
      for (let i = 0; i < chunks; i += 4) {
        const reads = [0, 1, 2, 3].map((more) =>
          disk.read((((i + more) * 17) % chunks) * chunkBytes, new Uint8Array(512)),
        );
        await Promise.all(reads);
        await told;
        told = came(i + 4);
      }
    },
    { url: origin + path, chunks, chunkBytes },
  );
  await reading.catch((error: Error) => {
    if (!/closed|crashed/.test(error.message)) throw error;
  });
}
