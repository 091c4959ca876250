/**
 * Disks of the page's machine that fail while it runs: the page says which one and why for as long as the machine stands,
 * its monitor says the same, and after a press of a button nothing that the guest wrote is missing.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { findInPage, haveFirmware } from '../support/page-site.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const imageBytes = 16 << 20;
const image = new Uint8Array(imageBytes);

/** For who looks at it: a directory that gets a picture of each fault. */
const pictures = process.env['PICTURES'];

let server: PageServer;
let origin: string;
let isThere: boolean;
let browser: BrowserContext;
let page: Page;
const complaints: string[] = [];
let profiles = 0;
let shots = 0;

/** The image is not there for a while. */
const serve = (path: string): Uint8Array | string | undefined =>
  path.startsWith('/images/') && !isThere ? undefined : findInPage(path, new Map([['base.img', image]]));

beforeEach(async () => {
  if (!haveChromium) return;
  isThere = true;
  server = new PageServer();
  server.find = serve;
  origin = await server.start();
  browser = await launchChromium(scratch(`profile-${++profiles}`));
  page = await browser.newPage();
  page.on('pageerror', ({ message }) => complaints.push(message));
  await page.goto(`${origin}/index.html`);
  await page.waitForSelector('button[type=submit]', patient);
});

afterEach(async () => {
  await browser?.close();
  await server?.stop();
  expect(complaints.splice(0)).toEqual([]);
});

const shown = (): Promise<string> => page.locator('#pane-serial .xterm-rows').innerText();

async function serial(line: string, expected: RegExp): Promise<string> {
  await page.click('#tab-serial');
  await page.keyboard.type(`${line}\n`);
  await expect.poll(shown, patient).toMatch(expected);
  return shown();
}

async function startEmbedded(base: 'base.img' | ''): Promise<void> {
  await page.selectOption('select[name=base]', base, patient);
  await page.click('button[type=submit]');
  await page.waitForSelector('.state.running', patient);
  await expect.poll(shown, patient).toMatch(/found 0 records/);
}

/** What the page says over the screen of the machine. */
async function toldFault(): Promise<string> {
  await page.waitForSelector('.fault', patient);
  await page.waitForSelector('.state.io-error', patient);
  if (pictures) await page.screenshot({ path: join(pictures, `${++shots}.png`) });
  return page.locator('.fault').innerText();
}

async function monitor(line: string): Promise<string> {
  const answers = page.locator('.log .answer');
  const before = await answers.count();
  await page.fill('input[name=line]', line);
  await page.press('input[name=line]', 'Enter');
  await expect.poll(() => answers.count(), patient).toBeGreaterThan(before);
  return answers.last().innerText();
}

async function resume(): Promise<void> {
  await page.click('[data-action=resume]');
  await page.waitForSelector('.fault', { state: 'detached', ...patient });
  await page.waitForSelector('.state.running', patient);
}

/** How many records the guest has written on each disk, as it said last; 0 before it has said it. */
async function countRecords(): Promise<number> {
  const text = await serial('status', /./);
  return Number([...text.matchAll(/(\d+) records on each disk, \d+ per second/g)].at(-1)?.[1] ?? 0);
}

/** The guest goes on for a while, and finds all of its records. */
async function expectRecords(): Promise<void> {
  await expect.poll(countRecords, patient).toBeGreaterThan(0);
  const before = await countRecords();
  await expect.poll(countRecords, patient).toBeGreaterThan(before + 100);
  await expectNoMistake();
}

async function expectNoMistake(): Promise<void> {
  const text = await serial('stop', /records on each disk, \d+ per second, stopped/);
  const [, written] = /(\d+) records on each disk, \d+ per second, stopped/.exec(text)!; // it has just matched
  await serial('verify', new RegExp(`verified ${written} records on each disk, no mistake`));
}

/** A disk that boots: it prints `?`, waits for a key, reads a sector far away and prints its first byte, an X. */
function readerDisk(): Uint8Array {
  const print = [0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10];
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // segments 0, stack below the code
    ...[0xb0, 0x3f, ...print],
    ...[0xb4, 0x00, 0xcd, 0x16], // a key
    ...[0xb8, 0x01, 0x02, 0xbb, 0x00, 0x80], // one sector to 0x8000
    ...[0xb9, 0x28, 0x02, 0xba, 0x80, 0x0f, 0xcd, 0x13], // cylinder 2, head 15, sector 40
    ...[0xa0, 0x00, 0x80, ...print],
    ...[0xf4, 0xeb, 0xfd], // hlt for ever
  ];
  const disk = new Uint8Array(2 << 20).fill(0x58, 1 << 20);
  disk.set(code);
  disk.set([0x55, 0xaa], 510);
  return disk;
}

describe.skipIf(!haveChromium)('the page, when a disk of its machine fails', () => {
  const faults = [
    {
      cause: 'the server answers 500',
      begin: () => (server.isBroken = true),
      end: () => (server.isBroken = false),
      words: /server that has the image answers with an error[\s\S]*returned error: 500/,
    },
    {
      cause: 'the server cannot be reached',
      begin: () => server.stop(),
      end: () => server.start(Number(new URL(origin).port)),
      words: /server that has the image cannot be reached[\s\S]*Failed to fetch/,
    },
    {
      cause: 'the file on the server has changed',
      begin: () => (server.etag = '"2"'),
      end: () => (server.etag = '"1"'),
      words: /not the one any more that this disk was made on[\s\S]*its ETag was "1" and is "2"/,
    },
    {
      cause: 'the file on the server is gone',
      begin: () => (isThere = false),
      end: () => (isThere = true),
      words: /is not on the server any more[\s\S]*returned error: 404/,
    },
  ];

  for (const { cause, begin, end, words } of faults) {
    test(`says that ${cause}, and goes on without a loss`, async () => {
      await startEmbedded('base.img');
      await begin();
      await serial('rate 0', /rate 0/);
      const told = await toldFault();
      expect(told).toMatch(/The machine stands: Disk [AB] could not be written/);
      expect(told).toMatch(words);
      expect(await monitor('query-status')).toContain('"io-error"');
      expect(await monitor('query-block')).toContain('"io-status": "failed"');
      await end();
      await resume();
      await expectRecords();
    }, 90_000);
  }

  test('says so again when it is told to go on too early', async () => {
    await startEmbedded('base.img');
    server.isBroken = true;
    await serial('rate 0', /rate 0/);
    await toldFault();
    await page.click('[data-action=resume]');
    expect(await toldFault()).toContain('answers with an error');
    await expect.poll(() => monitor('query-status'), patient).toContain('"io-error"');
    server.isBroken = false;
    // The other disk may fail by an answer that was on its way: then it is told once more.
    const before = await countRecords();
    const resumeAndCount = async (): Promise<number> => {
      if (await page.locator('.fault').isVisible()) await page.click('[data-action=resume]');
      return countRecords();
    };
    await expect.poll(resumeAndCount, patient).toBeGreaterThan(before + 100);
    await expectNoMistake();
  }, 90_000);

  test('says that the browser has no more room, and goes on when there is some', async () => {
    await startEmbedded('');
    const used = await page.evaluate(async () => (await navigator.storage.estimate()).usage!);
    const cdp = await browser.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: used + (1 << 20) });
    await serial('rate 0', /rate 0/);
    const told = await toldFault();
    expect(told).toMatch(/Disk [AB] could not be written/);
    expect(told).toContain('The browser has no more room for the files of this page');
    expect(await monitor('query-status')).toContain('"io-error"');
    expect(await monitor('query-block')).toContain('"io-status": "nospace"');
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await resume();
    await expectRecords();
  }, 90_000);

  test.skipIf(!haveFirmware)(
    'says that a chosen file has changed, and goes on when it is back',
    async () => {
      const path = scratch('chosen.img');
      writeFileSync(path, readerDisk());
      await page.setInputFiles('input[name=file]', path);
      await page.click('button[type=submit]');
      const screen = page.locator('#pane-screen');
      await expect.poll(() => screen.innerText(patient), patient).toContain('?');
      renameSync(path, `${path}.moved`);
      writeFileSync(path, 'something else');
      await page.click('#tab-screen');
      await page.keyboard.press('a');
      const told = await toldFault();
      expect(told).toContain('Disk A could not be read');
      expect(told).toContain(
        'The file on this computer that the disk was made on was changed, moved or deleted',
      );
      expect(await monitor('query-status')).toContain('"io-error"');
      renameSync(`${path}.moved`, path);
      await resume();
      await expect.poll(() => screen.innerText(patient), patient).toContain('?X');
    },
    90_000,
  );
});
