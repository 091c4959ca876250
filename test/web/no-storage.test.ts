/** The page where the browser keeps nothing for it: it is there all the same, and says what a machine lacks. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext } from 'playwright';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const server = new PageServer();
let origin: string;
let browser: BrowserContext | undefined;
const complaints: string[] = [];

beforeAll(async () => {
  server.find = (path) => {
    if (path === '/offer.json') return JSON.stringify({ images: [], firmware: true });
    const file = join(root, path.startsWith('/browser/') ? 'dist' : 'dist/web', path);
    return !path.endsWith('/') && existsSync(file) ? readFileSync(file) : undefined;
  };
  origin = await server.start();
});

afterEach(async () => {
  await browser?.close();
  expect(complaints.splice(0)).toEqual([]);
});

afterAll(() => server.stop());

/** What the page says when a machine is to start. */
async function startAt(address: string): Promise<string> {
  const page = await browser!.newPage(); // each test launches one
  page.on('pageerror', ({ message }) => complaints.push(message));
  await page.goto(`${address}/index.html`);
  await page.click('.chooser button[type=submit]');
  return page.locator('.chooser [role=alert]').innerText();
}

describe.skipIf(!haveChromium)('the page', () => {
  test('without https says that it needs that', async () => {
    browser = await launchChromium(scratch('insecure'), '--host-resolver-rules=MAP blockyard.test 127.0.0.1');
    expect(await startAt(origin.replace('127.0.0.1', 'blockyard.test'))).toBe(
      'This page has no file system of its own: it must come over https or from localhost',
    );
  });

  test('of a site that may not store data says so', async () => {
    mkdirSync(scratch('refusing/Default'), { recursive: true });
    writeFileSync(
      scratch('refusing/Default/Preferences'),
      JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
    );
    browser = await launchChromium(scratch('refusing'));
    expect(await startAt(origin)).toBe(
      'The browser keeps no files for this page: it is in a private window, or its site may not store data',
    );
  });
});
