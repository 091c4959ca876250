/**
 * A browser that is killed while a guest writes: whatever the guest was told is written is there when it comes back.
 *
 * How often is up to LIBRARY_KILLS (default: 4). When is a matter of how many writes were answered, drawn from a seed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { haveChromium } from '../support/chromium.ts';
import { startKillable } from '../support/killable-chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';
import { haveQemu } from '../support/tools.ts';

type Library = typeof import('../../host/library/index.ts');
declare const library: Library;

const kills = Number(process.env['LIBRARY_KILLS'] ?? 4);
const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const size = 16 << 20;
const records = 250;
const server = new PageServer();
let origin: string;

beforeAll(async () => {
  const base = new Uint8Array(size);
  server.find = (path) => {
    if (path === '/base.img') return base;
    if (path === '/favicon.ico') return '';
    if (path === '/page.html') {
      return '<script type="module">globalThis.library = await import("/blockyard/index.js")</script>';
    }
    const file = join(root, 'dist/browser', path.replace('/blockyard/', ''));
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  origin = await server.start();
});

afterAll(() => server.stop());

async function launch(): Promise<{ page: Page; kill(): Promise<void> }> {
  const browser = await startKillable(scratch('profile'));
  const page = await browser.newPage();
  await page.goto(`${origin}/page.html`);
  await page.waitForFunction('globalThis.library');
  return { page, kill: () => browser.kill() };
}

/** The number that each record has, as a guest reads it; the overlay is deleted then. */
function takeRecords(page: Page, file: string): Promise<number[]> {
  return page.evaluate(
    async ({ url, file, records }) => {
      const yard = await library.openBlockyard();
      await yard.openOverlay({ node: 'hda', file, base: { driver: 'http', url } });
      const { disk } = await yard.disk({ node: 'hda' });
      const numbers: number[] = [];
      for (let i = 0; i < records; i++) {
        const sector = new Uint8Array(512);
        await disk.read(((i * 7919) % records) * 65536, sector);
        numbers.push(new DataView(sector.buffer).getUint32(0));
      }
      await yard.close();
      const cleaner = await library.openBlockyard();
      await cleaner.removeFile(file);
      await cleaner.close();
      return numbers;
    },
    { url: `${origin}/base.img`, file, records },
  );
}

/** Writes `round` into one record after the other, some at a time, and says how many have been answered. */
async function writeRecords(page: Page, file: string, round: number): Promise<void> {
  await page
    .evaluate(
      async ({ url, file, records, round }) => {
        const yard = await library.openBlockyard();
        await yard.openOverlay({ node: 'hda', file, base: { driver: 'http', url } });
        const { disk } = await yard.disk({ node: 'hda' });
        const write = async (i: number): Promise<void> => {
          const sector = new Uint8Array(512);
          new DataView(sector.buffer).setUint32(0, round);
          await disk.write(((i * 7919) % records) * 65536, sector);
        };
        for (let i = 0; i < records; i += 4) {
          await Promise.all([0, 1, 2, 3].map((more) => write(i + more)));
          console.log(`answered ${i + 4}`);
        }
      },
      { url: `${origin}/base.img`, file, records, round },
    )
    .catch((error: Error) => {
      if (!/closed|crashed/.test(error.message)) throw error;
    });
}

test.skipIf(!haveChromium)(
  'loses nothing that was answered when the browser is killed in mid-write',
  async () => {
    const random = new Seeded(86);
    for (let round = 1; round <= kills; round++) {
      const { page, kill } = await launch();
      const file = `hda-${round}.qcow2`;
      let answered = 0;
      const goal = 4 + random.below(records - 8);
      const reached = new Promise<void>((resolve) => {
        page.on('console', (message) => {
          const [, count] = /^answered (\d+)$/.exec(message.text()) ?? [];
          if (count === undefined) return;
          answered = Number(count);
          if (answered >= goal) resolve();
        });
      });
      try {
        await Promise.race([reached, writeRecords(page, file, round)]);
      } finally {
        await kill();
      }
      const after = await launch();
      try {
        if (haveQemu) checkImage(await download(after.page, file));
        const numbers = await takeRecords(after.page, file);
        const lost = numbers.slice(0, answered).filter((number) => number !== round);
        expect(lost, `round ${round}, ${answered} answered`).toEqual([]);
      } finally {
        await after.kill();
      }
    }
  },
  20_000 + kills * 20_000,
);

/** The overlay as it was left. */
async function download(page: Page, file: string): Promise<Buffer> {
  const text = await page.evaluate(async (file) => {
    const yard = await library.openBlockyard();
    const { stream } = await yard.exportImage({ file });
    const blob = await new Response(stream).blob();
    await yard.close();
    return new Promise<string>((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ''));
      reader.readAsDataURL(blob);
    });
  }, file);
  return Buffer.from(text, 'base64');
}

/** Space that is lost until the next repair is all that may be wrong. */
function checkImage(image: Buffer): void {
  const path = scratch('hda.qcow2');
  writeFileSync(path, image);
  // QEMU would look for the base, with a driver that it may not have.
  run('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', '', path);
  const { stdout } = spawnSync('qemu-img', ['check', '--output=json', '-f', 'qcow2', path], {
    encoding: 'utf8',
  });
  const { corruptions = 0, 'check-errors': failures } = JSON.parse(stdout) as Record<string, number>;
  expect({ corruptions, failures }).toEqual({ corruptions: 0, failures: 0 });
}
