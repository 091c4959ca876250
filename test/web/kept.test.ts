/**
 * What the page keeps: machines in their list, saved ones inside their disks, backups; what goes when, after which question, and what
 * is left. And a backup that a reload interrupts.
 */
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const card = '[data-machine=embedded]';

describe.skipIf(!haveChromium)('what the page keeps', () => {
  let server: WebServer;
  let browser: BrowserContext;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    server = await WebServer.start();
    browser = await launchChromium(scratch('profile'));
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => complaints.push(message));
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  const open = (one = page) => one.goto(`${server.base}/`);
  const answer = (word: 'yes' | 'no') => page.click(`[data-answer=${word}]`);
  const running = () => page.waitForSelector('.state.running', patient);

  const files = () =>
    page.evaluate(async () => {
      const names: string[] = [];
      const directory = await navigator.storage.getDirectory();
      for await (const handle of directory.values()) if (handle.kind === 'file') names.push(handle.name);
      return names.sort();
    });

  /** Has the guest do something, and gives how many records it says that it has then, and whether it writes more. */
  async function told(line: 'status' | 'stop' | 'start'): Promise<{ records: number; state: string }> {
    await page.click('#tab-serial');
    const shown = page.locator('#pane-serial .xterm-rows');
    const answers = async () =>
      [...(await shown.innerText()).matchAll(/(\d+) records on each disk, \d+ per second, (\w+)/g)].map(
        ([, records, state]) => ({ records: Number(records), state: state! }), // both are in what has matched
      );
    if (line === 'start') {
      await page.keyboard.type('start\n');
      line = 'status';
    }
    const before = (await answers()).length;
    await page.keyboard.type(`${line}\n`);
    await expect.poll(async () => (await answers()).length, patient).toBeGreaterThan(before);
    return (await answers()).at(-1)!; // there is one more
  }

  async function fastBackup(number: number): Promise<void> {
    await page.locator('#backup-speed').fill('9');
    await page.click('[data-action=backup]', patient);
    await page.waitForSelector(`[data-backup="${number}"]`, patient);
  }

  test('lists a machine that was started, and no other tab may start it meanwhile', async () => {
    await open();
    await page.click('button[type=submit]', patient);
    await running();
    const other = await browser.newPage();
    await open(other);
    await other.waitForSelector(`${card} [data-action=start]:disabled`, patient);
    await other.click('button[type=submit]');
    expect(await other.innerText('[role=alert]', patient)).toContain('“embedded” is open in another tab');
    await other.close();
  }, 60_000);

  test('goes back to a saved machine after a question, with its memory', async () => {
    const early = await told('stop');
    await page.fill('input[name=name]', 'early');
    await page.click('[data-action=save]');
    await page.waitForSelector('[data-saved=early]', patient);
    await told('start');
    await expect.poll(async () => (await told('status')).records, patient).toBeGreaterThan(early.records);
    await page.click('[data-saved=early] [data-action=load]');
    await answer('no');
    await page.click('[data-saved=early] [data-action=load]');
    await answer('yes');
    // That it does not write is in its memory alone.
    await expect.poll(() => told('status'), patient).toEqual(early);
    await told('start');
    await page.click('[data-saved=early] [data-action=delete]');
    await answer('yes');
    await page.waitForSelector('[data-saved=early]', { state: 'detached', ...patient });
  }, 60_000);

  test('keeps the limits when it restores a backup, and leaves no file of what it ran on', async () => {
    await fastBackup(1);
    await page.locator('#limit-disk-a-IOPS').fill('4');
    const limit = () => page.locator('.limits:not(.backup-speed) output').first().innerText();
    await expect.poll(limit, patient).toBe('200');
    await page.click('[data-backup="1"] [data-action=restore]');
    await answer('yes');
    await page.waitForSelector('[data-words=restored]', patient);
    expect(await limit()).toBe('200');
    expect((await files()).filter((name) => /-[ab]\.qcow2/.test(name) && !name.includes('backup'))).toEqual(
      [],
    );
    expect(await page.innerText('#incremental-why')).toContain('The disks were put back to a backup');
  }, 60_000);

  test('asks before a reload ends a backup, and says then why there is no incremental one', async () => {
    await fastBackup(2);
    expect(await page.isEnabled('[data-action=incremental]')).toBe(true);
    await page.locator('#backup-speed').fill('0');
    await page.click('[data-action=backup]');
    await page.waitForSelector('.jobs progress', patient);
    const asked = page.waitForEvent('dialog', patient);
    const reload = page.reload();
    const dialog = await asked;
    expect(dialog.type()).toBe('beforeunload');
    await dialog.accept();
    await reload;
    await page.click(`${card} [data-action=start]:enabled`, patient);
    await running();
    expect(await page.isDisabled('[data-action=incremental]')).toBe(true);
    expect(await page.innerText('#incremental-why')).toContain('The last backup was interrupted');
    await fastBackup(3);
    expect(await page.isEnabled('[data-action=incremental]')).toBe(true);
  }, 90_000);

  test('is off after a question, and starts afresh and keeps its backups', async () => {
    await page.click('[data-action=power-off]');
    await answer('yes');
    await page.click(`${card} [data-action=afresh]:enabled`, patient);
    await answer('yes');
    await expect.poll(() => page.innerText(card), patient).toContain('disks 0 B · 3 backups');
    await page.click(`${card} [data-action=start]`);
    await running();
    expect(await page.locator('[data-backup]').count()).toBe(3);
    expect((await told('stop')).records).toBeLessThan(1000);
  }, 60_000);

  test('offers what earlier versions left for removal, and deletes a machine whole', async () => {
    await page.evaluate(async () => {
      const directory = await navigator.storage.getDirectory();
      await directory.getFileHandle('embedded-b-7.qcow2', { create: true });
    });
    await page.click('[data-action=power-off]');
    await answer('yes');
    await page.click('[data-action=leftovers]', patient);
    expect(await page.innerText('#question-text')).toContain('embedded-b-7.qcow2');
    await answer('yes');
    await page.waitForSelector('[data-action=leftovers]', { state: 'detached', ...patient });
    await page.click(`${card} [data-action=delete]`);
    await answer('yes');
    await page.waitForSelector(card, { state: 'detached', ...patient });
    expect(await files()).toEqual([]);
    expect(complaints).toEqual([]);
  }, 60_000);
});
