/**
 * The page in a browser that is killed while the guest writes, and opened again: the guest finds every record that it was
 * told is on its disk, and both overlays are sound images of one instant.
 *
 * How often is up to KILLS (default: 2). When is a matter of how many records were written, drawn from a seed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { proveOneInstant, type RecordDisk } from '../../host/emulator/guest/linked-records.ts';
import { haveChromium } from '../support/chromium.ts';
import { startKillable } from '../support/killable-chromium.ts';
import { recordDiskOf } from '../support/record-disk.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';
import { WebServer } from '../support/web-program.ts';

const kills = Number(process.env['KILLS'] ?? 2);
const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const mostRecords = 400;
let server: WebServer;

beforeAll(async () => {
  if (!haveChromium || !haveQemu) return;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', scratch('base.qcow2'), '64M']);
  server = await WebServer.start(scratch('base.qcow2'));
});

afterAll(() => server?.stop());

async function launch(): Promise<{ page: Page; kill(): Promise<void> }> {
  const browser = await startKillable(scratch('profile'));
  const page = await browser.newPage();
  await page.goto(`${server.base}/`);
  await page.waitForSelector('select[name=base]', patient);
  return { page, kill: () => browser.kill() };
}

/** An overlay as it was left. */
async function takeOverlay(page: Page, disk: string): Promise<RecordDisk> {
  const text = await page.evaluate(async (name) => {
    const directory = await navigator.storage.getDirectory();
    const file = await (await directory.getFileHandle(name)).getFile();
    return new Promise<string>((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''));
      reader.readAsDataURL(file);
    });
  }, `embedded-base.qcow2-${disk}.qcow2`);
  const path = scratch(`${disk}.qcow2`);
  writeFileSync(path, Buffer.from(text, 'base64'));
  // QEMU would look for the base on the server; it is empty.
  execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-b', '', path]);
  checkImage(path);
  return recordDiskOf(path);
}

/** Space that is lost until the next repair is all that may be wrong. */
function checkImage(path: string): void {
  const { stdout } = spawnSync('qemu-img', ['check', '--output=json', path], { encoding: 'utf8' });
  const { corruptions = 0, 'check-errors': failures } = JSON.parse(stdout) as Record<string, number>;
  expect({ corruptions, failures }).toEqual({ corruptions: 0, failures: 0 });
}

/** Starts the guest, has it write until it has `goal` records more, and gives the number it has told last. */
async function writeRecords(page: Page, found: number, more: number): Promise<number> {
  await page.selectOption('select[name=base]', 'base.qcow2');
  await page.click('button[type=submit]');
  await page.click('#tab-serial', patient);
  const shown = page.locator('#pane-serial .xterm-rows');
  const both = new RegExp(`found ${found} records on the first disk, ${found}|found ${found + 1} records on`);
  await expect.poll(() => shown.innerText(), patient).toMatch(both);
  await page.keyboard.type('rate 0\n');
  for (;;) {
    await page.keyboard.type('status\n');
    const told = [...(await shown.innerText()).matchAll(/(\d+) records on each disk/g)];
    const count = Number(told.at(-1)?.[1] ?? 0);
    if (count >= found + more) return count;
  }
}

test.skipIf(!haveChromium || !haveQemu)(
  'loses no record that the guest was told is on its disk when the browser is killed',
  async () => {
    const random = new Seeded(87);
    let browser = await launch();
    let found = 0;
    for (let round = 1; round <= kills; round++) {
      let told: number;
      try {
        told = await writeRecords(browser.page, found, random.below(mostRecords));
      } finally {
        await browser.kill();
      }
      browser = await launch();
      try {
        const copies = [await takeOverlay(browser.page, 'a'), await takeOverlay(browser.page, 'b')] as const;
        const { records, violations } = await proveOneInstant(copies);
        expect(violations, `kill ${round}`).toEqual([]);
        expect(records[1], `kill ${round}: ${told} were told`).toBeGreaterThanOrEqual(told);
        found = records[1];
      } catch (error) {
        await browser.kill();
        throw error;
      }
    }
    await browser.kill();
  },
  20_000 + kills * 20_000,
);
