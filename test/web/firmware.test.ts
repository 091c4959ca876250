/** The page of a server that has no firmware: it says what that is for, takes it from files or addresses, and keeps it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { requireAll } from '../support/tools.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const seabios = '/usr/share/seabios';
const haveFirmware = requireAll || existsSync(join(seabios, 'bios.bin'));
const patient = { timeout: 30_000 };

const server = new PageServer();
let origin: string;
let browser: BrowserContext;
let page: Page;

function serve(path: string): Uint8Array | string | undefined {
  if (path === '/offer.json') return JSON.stringify({ images: [], firmware: false });
  const [, folder, name] = /^\/(?:(browser|v86|seabios)\/)?(.*)$/.exec(path)!; // every path begins so
  const folders: Readonly<Record<string, string>> = {
    browser: join(root, 'dist/browser'),
    v86: join(root, 'node_modules/v86/build'),
    seabios,
  };
  const file = join(folders[folder ?? ''] ?? join(root, 'dist/web'), name!); // it may be empty
  return name !== '' && existsSync(file) ? readFileSync(file) : undefined;
}

beforeAll(async () => {
  if (!haveChromium) return;
  server.find = serve;
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
  page = await browser.newPage();
  await page.goto(`${origin}/index.html`);
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

/** A disk that boots and prints `?`. */
function printingDisk(): Uint8Array {
  const disk = new Uint8Array(1 << 20);
  disk.set([0xb0, 0x3f, 0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xf4, 0xeb, 0xfd]);
  disk.set([0x55, 0xaa], 510);
  return disk;
}

describe.skipIf(!haveChromium || !haveFirmware)('the page of a server without firmware', () => {
  const image = 'input[name=source][value=file]';
  const use = '#firmware button';

  test('says what firmware is for, and where it is', async () => {
    await page.waitForSelector(use, patient);
    expect(await page.locator('#firmware').innerText()).toMatch(/need SeaBIOS[\s\S]*share\/qemu/);
    expect(await page.isDisabled(image)).toBe(true);
  });

  test('refuses what is none, and what is not there, by name', async () => {
    const problem = page.locator('#firmware [role=alert]');
    await page.click(use);
    await expect.poll(() => problem.innerText(), patient).toBe('Choose a file for the BIOS.');
    writeFileSync(scratch('note.txt'), 'no firmware');
    await page.setInputFiles('input[name=bios]', scratch('note.txt'));
    await page.fill('input[name=vga_bios-address]', `${origin}/seabios/vgabios-stdvga.bin`);
    await page.click(use);
    await expect.poll(() => problem.innerText(), patient).toBe("'note.txt' is no BIOS.");
    await page.fill('input[name=bios-address]', `${origin}/seabios/absent.bin`);
    await page.click(use);
    await expect
      .poll(() => problem.innerText(), patient)
      .toBe(`the server answers 404 to ${origin}/seabios/absent.bin`);
  });

  test('takes a file and an address, keeps them, and starts machines', async () => {
    await page.fill('input[name=bios-address]', '');
    await page.setInputFiles('input[name=bios]', join(seabios, 'bios.bin'));
    await page.click(use);
    await page.waitForSelector('#firmware', { state: 'detached', ...patient });
    await page.reload();
    await page.waitForSelector(`${image}:enabled`, patient);
    expect(await page.locator('#firmware').count()).toBe(0);
    writeFileSync(scratch('disk.img'), printingDisk());
    await page.setInputFiles('input[name=file]', scratch('disk.img'));
    await page.click('.chooser button[type=submit]');
    await expect.poll(() => page.locator('#pane-screen').innerText(patient), patient).toContain('?');
  });
});
