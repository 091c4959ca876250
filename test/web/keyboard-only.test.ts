/**
 * The whole story by keyboard alone, as somebody does it who has no pointer: start a machine, type into it, back it up while it writes,
 * go back to the backup, download it. On the way nothing jumps, and nothing is said on the browser's console. In the end the page
 * starts again without its server.
 */
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { findInPage } from '../support/page-site.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const mostStops = 80;
/** The sum of layout shifts, as browsers count them. */
const mostShift = 0.02;

describe.skipIf(!haveChromium)('by keyboard alone', () => {
  let server: PageServer;
  let browser: BrowserContext;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    server = new PageServer();
    server.find = (path) => findInPage(path, new Map());
    const origin = await server.start();
    browser = await launchChromium(scratch('profile'));
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('console', (message) => complaints.push(message.text()));
    await page.addInitScript(() => {
      const shifts: number[] = [];
      Object.assign(globalThis, { shifts });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          const { value, hadRecentInput } = entry as PerformanceEntry & {
            value: number;
            hadRecentInput: boolean;
          };
          if (!hadRecentInput) shifts.push(value);
        }
      }).observe({ type: 'layout-shift', buffered: true });
    });
    await page.goto(`${origin}/`);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Along the page until the focus is on what the selector names. */
  async function tabTo(selector: string): Promise<void> {
    await page.waitForSelector(selector, patient);
    const isThere = (wanted: string): boolean => document.activeElement?.matches(wanted) === true;
    for (let i = 0; i < mostStops && !(await page.evaluate(isThere, selector)); i++) {
      await page.keyboard.press('Tab');
    }
    expect(await page.evaluate(isThere, selector), selector).toBe(true);
  }

  async function press(selector: string): Promise<void> {
    await tabTo(selector);
    await page.keyboard.press('Enter');
  }

  const shown = (): Promise<string> => page.locator('#pane-serial .xterm-rows').innerText();

  test('one starts a machine and types into it', async () => {
    await press('button[type=submit]');
    await page.waitForSelector('.state.running', patient);
    await press('[data-action=keys]');
    await expect.poll(shown, patient).toMatch(/found 0 records/);
    await page.keyboard.type('rate 500\n');
    await expect.poll(shown, patient).toMatch(/running/);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
  }, 60_000);

  test('one makes a backup', async () => {
    await press('[data-action=backup]');
    await page.waitForSelector('[data-backup="1"]', patient);
  }, 60_000);

  test('one downloads it', async () => {
    const waiting = page.waitForEvent('download', patient);
    await press('[data-backup="1"] [data-disk=a]');
    expect((await waiting).suggestedFilename()).toBe('embedded-a-1.qcow2');
  }, 60_000);

  test('one goes back to it', async () => {
    await press('[data-backup="1"] [data-action=restore]');
    await press('[data-answer=yes]');
    await page.waitForSelector('[data-words=restored]', patient);
    // The terminal draws nothing while it is out of sight.
    await tabTo('[data-action=keys]');
    await expect.poll(shown, patient).toMatch(/found \d+ records[\s\S]*found [1-9]\d* records/);
  }, 60_000);

  test('one asks the monitor for help, and for what was typed before', async () => {
    await tabTo('input[name=line]');
    await page.keyboard.type('info status');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Enter');
    const answer = page.locator('.log .answer').last();
    await expect.poll(() => answer.innerText(), patient).toContain('status: running');
    await page.keyboard.press('ArrowUp');
    expect(await page.inputValue('input[name=line]')).toBe('info status');
  }, 60_000);

  test('nothing has jumped', async () => {
    const shifts = await page.evaluate(() => (globalThis as unknown as { shifts: number[] }).shifts);
    expect(shifts.reduce((sum, shift) => sum + shift, 0)).toBeLessThan(mostShift);
  });

  test('one starts again without the server', async () => {
    await page.evaluate(() => navigator.serviceWorker.ready);
    await server.stop();
    await page.reload();
    await press('button[type=submit]');
    await page.waitForSelector('.state.running', patient);
    await expect.poll(shown, patient).toMatch(/found [1-9]\d* records/);
  }, 60_000);

  test('the browser’s console is empty', () => expect(complaints).toEqual([]));
});
