/**
 * What a guest can do to its machine: switch it off, by the firmware, or stop its processor for good. The page shows either, and the
 * machine begins anew from there. And what the page says while a server is only asked again.
 */
import { describe, expect, test } from 'vitest';
import { haveChromium } from '../support/chromium.ts';
import { MachinePage, servePage } from '../support/machine-page.ts';
import { haveFirmware } from '../support/page-site.ts';

const patient = { timeout: 30_000 };

const putLetter = [0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10];
const waitForKey = [0xb4, 0x00, 0xcd, 0x16];
/** The firmware's power management in real mode: connects, says which version, and switches all devices off. */
const apmOff = [
  ...[0xb8, 0x01, 0x53, 0x31, 0xdb, 0xcd, 0x15],
  ...[0xb8, 0x0e, 0x53, 0x31, 0xdb, 0xb9, 0x02, 0x01, 0xcd, 0x15],
  ...[0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15],
];
const haltForGood = [0xfa, 0xf4];

/** Says `?`, waits for a key, and does it. */
function disk(code: readonly number[]): Uint8Array {
  const content = new Uint8Array(4 << 20);
  content.set([0xb0, 0x3f, ...putLetter, ...waitForKey, ...code, 0xf4, 0xeb, 0xfd]);
  content.set([0x55, 0xaa], 510);
  return content;
}

/** Reads a sector far away, and says `!`. */
const readFar = [
  ...[0xb8, 0x01, 0x02, 0xbb, 0x00, 0x80],
  ...[0xb9, 0x28, 0x02, 0xba, 0x80, 0x0f, 0xcd, 0x13], // cylinder 2, head 15, sector 40
  ...[0xb0, 0x21, ...putLetter],
];

const images = new Map([
  ['off.img', disk(apmOff)],
  ['halt.img', disk(haltForGood)],
  ['read.img', disk(readFar)],
]);

describe.skipIf(!haveChromium || !haveFirmware)('the page, when a guest', () => {
  const machine = new MachinePage(() => servePage(() => images), 'for each test');

  async function startAndPress(image: string): Promise<void> {
    await machine.load();
    await machine.page.selectOption('select[name=image]', image, patient);
    await machine.start('?');
    await machine.page.click('#pane-screen');
    await machine.page.keyboard.press('a');
  }

  test('switches the machine off, says so, and starts it again', async () => {
    await startAndPress('off.img');
    const { page } = machine;
    await page.waitForSelector('.state.off', patient);
    expect(await page.innerText('.fault.off')).toContain('Its guest has switched it off');
    await page.click('[data-action=switch-on]');
    await page.waitForSelector('.state.running', patient);
    await page.waitForSelector('.fault.off', { state: 'detached', ...patient });
    await expect.poll(() => machine.screen(), patient).toMatch(/\?\s*$/);
    await page.click('#pane-screen');
    await page.keyboard.press('a');
    await page.waitForSelector('.state.off', patient);
    // From there to the list of machines, too.
    await page.click('[data-action=power-off]');
    await page.click('[data-answer=yes]');
    await page.waitForSelector('[data-machine$="off.img"]', patient);
  }, 90_000);

  test('stops its processor for good, says so until it is reset', async () => {
    await startAndPress('halt.img');
    const { page } = machine;
    await page.waitForSelector('.state.halted', patient);
    await page.click('[data-action=reset]');
    await page.click('[data-answer=yes]');
    await page.waitForSelector('.state.running', patient);
  }, 60_000);

  test('waits for a server that fails for now, says which disk and why, until it is over', async () => {
    await machine.load();
    await machine.page.selectOption('select[name=image]', 'read.img', patient);
    await machine.start('?');
    const { pageServer } = machine.server;
    pageServer.isBroken = true;
    const { page } = machine;
    await page.click('#pane-screen');
    await page.keyboard.press('a');
    const trouble = page.locator('.trouble');
    await expect
      .poll(() => trouble.innerText(patient), patient)
      .toMatch(/Disk A: The server that has the image answers with an error\. Trying again since \d/);
    pageServer.isBroken = false;
    await expect.poll(() => machine.screen(), patient).toContain('?!');
    await trouble.waitFor({ state: 'detached', ...patient });
  }, 60_000);
});
