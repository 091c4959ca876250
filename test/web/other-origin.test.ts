/**
 * A page of another site in Chromium, on a machine on which `blockyard web` runs: it gets nothing of the images, and ends nothing, in
 * none of the ways that do get it the same files of a server that takes no care.
 */
import { writeFileSync } from 'node:fs';
import type { BrowserContext, Frame, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const patient = { timeout: 10_000 };
/** One pixel. */
const picture = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const files = new Map<string, Uint8Array>([
  ['picture.png', picture],
  ['script.js', Buffer.from('globalThis.secret = 1')],
  ['style.css', Buffer.from('body { color: rgb(1, 2, 3) }')],
]);

describe.skipIf(!haveChromium)('a page of another site', () => {
  const evil = new PageServer();
  const careless = new PageServer();
  let server: WebServer;
  let carelessBase: string;
  let browser: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    for (const [name, bytes] of files) writeFileSync(scratch(name), bytes);
    server = await WebServer.start(...[...files.keys()].map(scratch));
    evil.find = (path) => (path === '/page.html' ? '<p>' : undefined);
    careless.find = (path) => (path === '/page.html' ? '<p>' : files.get(path.replace('/images/', '')));
    const { port } = new URL(await evil.start());
    carelessBase = await careless.start();
    browser = await launchChromium(scratch('profile'), '--host-resolver-rules=MAP evil.test 127.0.0.1');
    page = await browser.newPage();
    await page.goto(`http://evil.test:${port}/page.html`);
  });

  afterAll(async () => {
    await browser?.close();
    expect(await server?.stop()).toBe(0);
    await evil.stop();
    await careless.stop();
  });

  /** Which of its attempts to load something succeed. */
  function attempts(base: string): Promise<Record<string, boolean>> {
    return page.evaluate(async (base) => {
      const isLoaded = (element: HTMLElement): Promise<boolean> =>
        new Promise((resolve) => {
          element.onload = () => resolve(true);
          element.onerror = () => resolve(false);
          document.head.append(element);
        });
      const create = (tag: string, members: object): HTMLElement =>
        Object.assign(document.createElement(tag), members);
      const isFetched = (name: string, options: RequestInit): Promise<boolean> =>
        fetch(`${base}/images/${name}`, options).then(
          () => true,
          () => false,
        );
      return {
        picture: await isLoaded(create('img', { src: `${base}/images/picture.png` })),
        script: await isLoaded(create('script', { src: `${base}/images/script.js` })),
        style: await isLoaded(create('link', { rel: 'stylesheet', href: `${base}/images/style.css` })),
        opaque: await isFetched('picture.png', { mode: 'no-cors' }),
        readable: await isFetched('picture.png', { mode: 'cors' }),
        range: await isFetched('picture.png', { headers: { Range: 'bytes=0-9223372036854775806' } }),
        backwards: await isFetched('picture.png', { headers: { Range: 'bytes=5-2' } }),
      };
    }, base);
  }

  /** A frame that it makes. */
  async function framed(url: string): Promise<Frame> {
    const waiting = page.waitForEvent('frameattached');
    const loaded = page.evaluate(
      (src) =>
        new Promise<void>((resolve) => {
          const frame = Object.assign(document.createElement('iframe'), { src, onload: () => resolve() });
          document.documentElement.append(frame);
        }),
      url,
    );
    const frame = await waiting;
    await loaded;
    return frame;
  }

  test('cannot load an image, in whatever it embeds it', async () => {
    const none = {
      picture: false,
      script: false,
      style: false,
      opaque: false,
      readable: false,
      range: false,
      backwards: false,
    };
    expect(await attempts(carelessBase)).toEqual({
      ...none,
      picture: true,
      script: true,
      style: true,
      opaque: true,
    });
    expect(await attempts(server.base)).toEqual(none);
    expect(server.hasEnded).toBe(false);
  });

  test('cannot frame the page', async () => {
    const url = `${carelessBase}/page.html`;
    const open = await framed(url);
    await expect.poll(() => open.url(), patient).toBe(url);
    const refused = await framed(`${server.base}/`);
    await expect.poll(() => refused.url(), patient).toMatch(/^chrome-error:/);
  });

  test('cannot read anything when its name is made to point here', async () => {
    const statusOf = async (base: string): Promise<number[]> => {
      const { port } = new URL(base);
      const tab = await browser.newPage();
      const answer = await tab.goto(`http://evil.test:${port}/`);
      const others = await tab.evaluate(async () =>
        Promise.all(['offer.json', 'images/picture.png'].map(async (path) => (await fetch(path)).status)),
      );
      await tab.close();
      return [answer!.status(), ...others];
    };
    expect(await statusOf(server.base)).toEqual([421, 421, 421]);
    const welcoming = await WebServer.start('--allow-host', 'evil.test', scratch('picture.png'));
    expect(await statusOf(welcoming.base)).toEqual([200, 200, 200]);
    expect(await welcoming.stop()).toBe(0);
  });
});
