/**
 * The page in each state that people see it in: axe finds nothing, at no width anything is cut off or moves sideways, and with
 * `PICTURES=directory` there is a picture of each at every width, light, dark and in forced colours, for who looks at it.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { AxeResults, RunOptions } from 'axe-core';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { findInPage } from '../support/page-site.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const pictures = process.env['PICTURES'];
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** A slow backup of it goes on until it is paused. */
const imageBytes = 192 << 20;
/** What the guest writes to, and expects to be empty. */
const guestBytes = 64 << 20;

const widths = [320, 390, 768, 1280, 2560];
const themes = [
  { theme: 'light', media: { colorScheme: 'light', forcedColors: 'none' } },
  { theme: 'dark', media: { colorScheme: 'dark', forcedColors: 'none' } },
  { theme: 'forced', media: { colorScheme: 'dark', forcedColors: 'active' } },
] as const;

/** What follows the size of the window has followed, and is drawn. */
const afterFrames = (): Promise<void> =>
  new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
  });

/** Pictures alone wait for something that could be seen in the plots. */
const forPlots = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const heightAt = (width: number): number => (width < 700 ? 844 : Math.round(width * 0.62));

describe.skipIf(!haveChromium)('the page', () => {
  let server: PageServer;
  let browser: BrowserContext;
  let page: Page;
  let isThere = true;
  const complaints: string[] = [];

  beforeAll(async () => {
    const images = new Map([['base.img', new Uint8Array(imageBytes).fill(1, guestBytes)]]);
    server = new PageServer();
    server.find = (path) => (path.startsWith('/images/') && !isThere ? undefined : findInPage(path, images));
    const origin = await server.start();
    browser = await launchChromium(scratch('profile'));
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => complaints.push(message));
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.goto(`${origin}/`);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  async function violations(): Promise<string[]> {
    if (!(await page.evaluate(() => 'axe' in globalThis))) await page.addScriptTag({ path: axe });
    const { violations } = await page.evaluate(() =>
      (globalThis as unknown as { axe: { run(options: RunOptions): Promise<AxeResults> } }).axe.run({
        resultTypes: ['violations'],
      }),
    );
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
  }

  /** What reaches over the right edge of the window, unless it lies in something that scrolls. */
  const overhanging = (): Promise<string[]> =>
    page.evaluate(() => {
      const room = document.documentElement.clientWidth;
      const scrolls = (element: Element): boolean => {
        for (let at = element.parentElement; at; at = at.parentElement) {
          if (getComputedStyle(at).overflowX !== 'visible') return true;
        }
        return false;
      };
      return [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > room + 1 && !scrolls(element))
        .map((element) => element.outerHTML.slice(0, 100));
    });

  /** Everything that holds of every state. */
  async function examine(state: string): Promise<void> {
    const wrong: string[] = [];
    for (const { theme, media } of themes) {
      await page.emulateMedia(media);
      for (const width of widths) {
        const isExamined = theme === 'light' || pictures;
        if (!isExamined) continue;
        await page.setViewportSize({ width, height: heightAt(width) });
        await page.evaluate(afterFrames);
        wrong.push(...(await overhanging()).map((what) => `at ${width}: ${what}`));
        const path = pictures && join(pictures, `${state}-${width}-${theme}.png`);
        if (path) {
          await page.evaluate(() => scrollTo(0, 0));
          await page.screenshot({ path, fullPage: true });
        }
      }
      await page.setViewportSize({ width: 1280, height: 800 });
      wrong.push(...(await violations()).map((what) => `${theme}: ${what}`));
    }
    await page.emulateMedia({ colorScheme: 'light', forcedColors: 'none' });
    expect([...new Set(wrong)], state).toEqual([]);
  }

  test('lets one choose', async () => {
    await page.waitForSelector('select[name=base]', patient);
    await examine('chooser');
  }, 60_000);

  test('shows a machine that runs', async () => {
    await page.selectOption('select[name=base]', 'base.img');
    await page.click('button[type=submit]');
    await page.waitForSelector('.state.running', patient);
    await page.click('#tab-serial');
    await page.keyboard.type('rate 2000\n');
    await expect.poll(() => page.locator('#pane-serial .xterm-rows').innerText(), patient).toMatch(/running/);
    if (pictures) await forPlots(8000);
    await examine('running');
  }, 120_000);

  test('shows keys, the graph as a list, and what can be typed in the monitor', async () => {
    await page.click('[data-action=key-bar]');
    await page.click('.panel:has(#graph-title) >> text=List');
    await page.fill('input[name=line]', 'info ');
    await page.waitForSelector('.completions li', patient);
    await page.fill('input[name=line]', 'help');
    await page.press('input[name=line]', 'Enter');
    await page.fill('input[name=line]', 'query-b');
    await page.waitForSelector('.completions li', patient);
    await examine('all-open');
    await page.fill('input[name=line]', '');
    await page.click('[data-action=key-bar]');
    await page.click('.panel:has(#graph-title) >> text=Picture');
    await page.click('#tab-serial');
  }, 60_000);

  test('shows why a machine stands', async () => {
    isThere = false;
    await page.keyboard.type('rate 0\n');
    await page.waitForSelector('.fault', patient);
    await examine('fault');
    isThere = true;
    await page.click('[data-action=resume]');
    await page.waitForSelector('.state.running', patient);
  }, 120_000);

  test('shows a backup while it is made', async () => {
    // Slow until it is paused: what is empty takes no time.
    await page.locator('#backup-speed').fill('4');
    await page.click('[data-action=backup]');
    const jobs = page.locator('.jobs tbody tr');
    await jobs.nth(1).getByText('Pause').waitFor(patient);
    for (const row of [0, 1]) await jobs.nth(row).getByText('Pause').click(patient);
    await examine('backup');
    await page.locator('#backup-speed').fill('9');
    for (const row of [0, 1]) await jobs.nth(row).getByText('Resume').click(patient);
    await page.waitForSelector('[data-backup="1"]', { timeout: 60_000 });
    if (pictures) await takeOfReadme(pictures);
  }, 120_000);

  /** host/web/page.png, with fewer colours: one backup has been made, and another one is. */
  async function takeOfReadme(directory: string): Promise<void> {
    await page.locator('#backup-speed').fill('4');
    await page.click('[data-action=backup]', patient);
    await page.waitForSelector('.jobs progress', patient);
    await forPlots(6000);
    await page.screenshot({ path: join(directory, 'page.png'), fullPage: true });
    await page.locator('#backup-speed').fill('9');
    await page.waitForSelector('[data-backup="2"]', { timeout: 60_000 });
    await page.click('[data-backup="2"] [data-action=delete]');
    await page.click('[data-answer=yes]');
    await page.waitForSelector('[data-backup="2"]', { state: 'detached', ...patient });
  }

  test('shows a machine that went back to a backup', async () => {
    await page.click('[data-backup="1"] [data-action=restore]');
    await examine('question');
    await page.click('[data-answer=yes]');
    await page.waitForSelector('[data-words=restored]', patient);
    await page.click('#tab-serial');
    await expect
      .poll(() => page.locator('#pane-serial .xterm-rows').innerText(), patient)
      .toMatch(/found [1-9]\d* records/);
    await page.click('[data-action=save]');
    await page.waitForSelector('[data-saved]', patient);
    await examine('restored');
  }, 120_000);

  test('lists the machines that the browser keeps, and what they may have beside a disk', async () => {
    await page.click('[data-action=power-off]');
    await page.click('[data-answer=yes]');
    await page.waitForSelector('[data-machine]', patient);
    await page.click('.media summary');
    await examine('machines');
  }, 120_000);

  test('has thrown nothing', () => expect(complaints).toEqual([]));
});
