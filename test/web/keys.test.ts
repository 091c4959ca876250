/**
 * Keys of the page go to its machine only while its screen or terminal has the focus, and there is a way out by keyboard; the screen is
 * seen whole in text and in graphics, whatever the window. The guest shows each key that it gets, and on a `g` begins graphics.
 */
import type { Page } from 'playwright';
import { beforeAll, describe, expect, test } from 'vitest';
import { haveChromium } from '../support/chromium.ts';
import { MachinePage, servePage } from '../support/machine-page.ts';
import { haveFirmware } from '../support/page-site.ts';

const patient = { timeout: 30_000 };

/** It prints `?`, and then each key: its character, or that of its scan code. */
function keyShowingDisk(): Uint8Array {
  const print = [0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10];
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c], // segments 0, stack below the code
    ...[0xb0, 0x3f, ...print],
    ...[0xb4, 0x00, 0xcd, 0x16], // a key
    ...[0x3c, 0x67, 0x75, 0x07], // unless it is g:
    ...[0xb8, 0x12, 0x00, 0xcd, 0x10, 0xeb, 0xf1], // 640 × 480, and again
    ...[0x84, 0xc0, 0x75, 0x02, 0x88, 0xe0], // without a character: the scan code
    ...[...print, 0xeb, 0xe2], // and again
  ];
  const disk = new Uint8Array(1 << 20);
  disk.set(code);
  disk.set([0x55, 0xaa], 510);
  return disk;
}

describe.skipIf(!haveChromium || !haveFirmware)('the keyboard of the page', () => {
  const images = new Map([['keys.img', keyShowingDisk()]]);
  const machine = new MachinePage(() => servePage(() => images), 'one');
  let page: Page;
  const screen = (): Promise<string> => machine.screen();
  const focused = (): Promise<string | undefined> =>
    page.evaluate(() => (document.activeElement as HTMLElement | null)?.dataset['action']);

  beforeAll(async () => {
    ({ page } = machine);
    await machine.load();
    await page.selectOption('select[name=image]', 'keys.img', patient);
    await page.focus('button[type=submit]');
    await page.keyboard.press('Enter');
  }, 60_000);

  test('is the page’s when a machine was started by it, and leads in and out', async () => {
    await expect.poll(screen, patient).toContain('?');
    expect(await focused()).toBe('keys');
    await page.keyboard.type('ab');
    await page.keyboard.press('Enter');
    await page.keyboard.type('cd');
    await expect.poll(screen, patient).toContain('?cd');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    expect(await focused()).toBe('keys');
    await page.keyboard.type('ef');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('key-bar');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await page.click('#pane-screen');
    await page.keyboard.type('z');
    // The one Escape between was the guest's.
    await expect.poll(screen, patient).toMatch(/\?cd.z/);
  }, 60_000);

  test('is left by the button, and by a press elsewhere', async () => {
    await page.click('[data-action=keys]');
    expect(await focused()).toBe('keys');
    await page.click('#pane-screen');
    await page.click('input[name=line]');
    await page.keyboard.type('help');
    expect(await page.inputValue('input[name=line]')).toBe('help');
    expect(await screen()).toMatch(/\?cd.z\s*$/);
  }, 60_000);

  test('does not catch who goes along the page', async () => {
    await page.focus('#theme');
    for (let i = 0; i < 15; i++) {
      await page.keyboard.press('Tab');
      const isCaught = await page.evaluate(() => document.activeElement?.closest('.pane') !== null);
      expect(isCaught).toBe(false);
    }
  });

  test('has a bar of keys that leaves the focus where it is', async () => {
    await page.click('[data-action=key-bar]');
    await page.click('#pane-screen');
    await page.click('.key-bar >> text=F1');
    await expect.poll(screen, patient).toMatch(/z;\s*$/);
    await page.click('.key-bar >> text=Ctrl');
    await page.keyboard.type('c');
    await page.keyboard.type('c');
    await expect.poll(screen, patient).toMatch(/z;♥c\s*$/);
    await page.click('[data-action=key-bar]');
  });

  test('leaves every screen whole, at any width and zoom', async () => {
    const devtools = await machine.context.newCDPSession(page);
    for (const mode of ['text', 'graphics'] as const) {
      if (mode === 'graphics') {
        await page.click('#pane-screen');
        await page.keyboard.type('g');
        await page.waitForSelector('.screen canvas', patient);
      }
      for (const [width, zoom] of [
        [320, 1],
        [768, 1.25],
        [2560, 0.67],
      ] as const) {
        await devtools.send('Emulation.setDeviceMetricsOverride', {
          width,
          height: 844,
          deviceScaleFactor: zoom,
          mobile: false,
        });
        // v86 looks at the zoom when the guest changes the mode.
        if (mode === 'graphics') await page.keyboard.type('g');
        const fits = () =>
          page.evaluate(() => {
            const pane = document.querySelector('#pane-screen')!.getBoundingClientRect();
            const drawn = document.querySelector('.screen')!.getBoundingClientRect();
            const isInside =
              drawn.left > pane.left - 1 &&
              drawn.right < pane.right + 1 &&
              drawn.top > pane.top - 1 &&
              drawn.bottom < pane.bottom + 1;
            const isLarge = drawn.width > pane.width - 2 || drawn.height > pane.height - 2;
            return isInside && isLarge;
          });
        await expect.poll(fits, patient).toBe(true);
      }
    }
    await devtools.send('Emulation.clearDeviceMetricsOverride');
  }, 60_000);

  test('fills the window in full screen', async () => {
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.click('[data-action=full-screen]');
    const height = () => page.evaluate(() => document.querySelector('.stage')!.clientHeight);
    await expect.poll(height, patient).toBeGreaterThan(700);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.evaluate(() => document.fullscreenElement), patient).toBe(null);
    await expect.poll(focused, patient).toBe('keys');
  }, 60_000);
});
