/**
 * The page in Chromium, by its buttons: the embedded guest on overlays of an image from the server, backed up while it
 * writes, the backups downloaded and judged by `qemu-img` and by their linked records, and all of it there after a reload.
 */
import { execFileSync } from 'node:child_process';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proveOneInstant, type RecordDisk } from '../../host/emulator/guest/linked-records.ts';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { recordDiskOf } from '../support/record-disk.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };

describe.skipIf(!haveChromium || !haveQemu)('the page', () => {
  let server: WebServer;
  let browser: BrowserContext;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', scratch('base.qcow2'), '64M']);
    server = await WebServer.start(scratch('base.qcow2'));
    browser = await launchChromium(scratch('profile'));
    page = await browser.newPage();
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  async function start(): Promise<void> {
    await page.goto(`${server.base}/`);
    await page.selectOption('select[name=base]', 'base.qcow2', patient);
    await page.click('button[type=submit]');
    await page.waitForSelector('.state.running', patient);
  }

  /** A line on the serial console; everything it shows then. */
  async function serial(line: string, expected: RegExp): Promise<string> {
    await page.click('#tab-serial');
    await page.keyboard.type(`${line}\n`);
    const shown = page.locator('#pane-serial .xterm-rows');
    await expect.poll(() => shown.innerText(), patient).toMatch(expected);
    return shown.innerText();
  }

  async function download(number: number, disk: string): Promise<string> {
    const waiting = page.waitForEvent('download', patient);
    await page.click(`[data-backup="${number}"] [data-disk=${disk}]`);
    const path = scratch(`${number}-${disk}.qcow2`);
    await (await waiting).saveAs(path);
    return path;
  }

  /** What a backup holds, after `qemu-img` has found nothing wrong with it. */
  async function contentOf(number: number, disk: string): Promise<RecordDisk> {
    const path = await download(number, disk);
    execFileSync('qemu-img', ['check', '-q', path]);
    return recordDiskOf(path);
  }

  async function backUp(action: 'backup' | 'incremental', number: number): Promise<void> {
    await page.click(`[data-action=${action}]`, patient);
    await page.waitForSelector(`[data-backup="${number}"]`, patient);
    const words = await page.innerText(`[data-backup="${number}"] .proof`);
    expect(words).toMatch(
      /^Disk A and disk B show one instant: record .*; the guest never waited more than \d+ ms\.$/,
    );
  }

  test('backs up both disks at one instant while the guest writes', async () => {
    await start();
    await serial('rate 1000', /running/);
    await backUp('backup', 1);
    await backUp('incremental', 2);
    await serial('stop', /stopped/);
    const counts: number[] = [];
    for (const number of [1, 2]) {
      const copies = [await contentOf(number, 'a'), await contentOf(number, 'b')] as const;
      const { records, violations } = await proveOneInstant(copies);
      expect(violations).toEqual([]);
      counts.push(records[0]);
    }
    expect(counts[1]).toBeGreaterThan(counts[0]!);
  }, 120_000);

  test('has what the guest wrote after a reload', async () => {
    const [, written] = /(\d+) records on each disk, \d+ per second, stopped/.exec(
      await serial('status', /stopped[\s\S]*stopped/),
    )!;
    await start();
    const shown = await serial('stop', /stopped/);
    const [, found] = /found (\d+) records on the first disk/.exec(shown)!;
    expect(Number(found)).toBe(Number(written));
    await serial('verify', /no mistake/);
  }, 60_000);

  test('asks before it goes back to a backup, and says what of it was proven', async () => {
    const before = page.locator('#pane-serial .xterm-rows');
    await page.click('[data-backup="1"] [data-action=restore]');
    await page.click('[data-answer=yes]');
    expect(await page.innerText('[data-words=restored]', patient)).toContain('show one instant: record');
    // The terminal draws nothing while it is out of sight.
    await page.click('#tab-serial');
    await expect.poll(() => before.innerText(), patient).toMatch(/no mistake[\s\S]*found \d+ records/);
    await serial('stop', /stopped[\s\S]*stopped/);
    await serial('verify', /no mistake[\s\S]*no mistake/);
  }, 60_000);

  test('answers the monitor, with completion', async () => {
    const input = page.locator('input[name=line]');
    await input.fill('query-stat');
    await page.waitForSelector('.completions li', patient);
    await input.press('Tab');
    await input.press('Enter');
    await expect
      .poll(() => page.locator('.log .answer').last().innerText(), patient)
      .toContain('"running": true');
  });

  test('limits a disk while the guest runs', async () => {
    await page.locator('#limit-disk-a-IOPS').fill('3');
    await expect
      .poll(() => page.locator('.limits:not(.backup-speed) output').first().innerText(), patient)
      .toBe('100');
  });

  test('has said nothing on the console of the browser', () => expect(complaints).toEqual([]));
});
