/** `blockyard/browser` as it is built, in Chromium: overlays in its private file system, v86 on them, backups of them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const firmware = '/usr/share/seabios';
const haveFirmware = existsSync(join(firmware, 'bios.bin'));
const size = 2 << 20;

const server = new PageServer();
let origin: string;
let browser: BrowserContext;
const complaints: string[] = [];

/** The library as a page sees it; what it is in detail, the types of the sources say. */
type Library = typeof import('../../host/library/index.ts');
declare const library: Library;

beforeAll(async () => {
  if (!haveChromium) return;
  server.find = serve;
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

const pages = new Map<string, string>([
  ['/favicon.ico', ''],
  [
    '/empty.html',
    '<title>test</title><script type="module">globalThis.library = await import("/blockyard/index.js")</script>',
  ],
]);
let disk: Uint8Array = bootDisk();
/** Whether the disk changes once a machine starts. */
let failsAtStart = false;

function serve(path: string): Uint8Array | string | undefined {
  if (path === '/seabios.bin' && failsAtStart) {
    failsAtStart = false;
    server.etag = '"2"';
  }
  const file = fileOf(path);
  if (file !== undefined) return existsSync(file) ? readFileSync(file) : undefined;
  return path === '/disk.img' ? disk : pages.get(path);
}

function fileOf(path: string): string | undefined {
  if (path.startsWith('/blockyard/')) return join(root, 'dist/browser', path.slice('/blockyard/'.length));
  if (path.startsWith('/v86/')) return join(root, 'node_modules/v86/build', path.slice('/v86/'.length));
  if (path === '/seabios.bin') return join(firmware, 'bios.bin');
  if (path === '/v86.wasm') return join(root, 'node_modules/v86/build/v86.wasm');
  if (path === '/vgabios.bin') return join(firmware, 'vgabios-stdvga.bin');
  return undefined;
}

/** In its boot sector a program that reads a sector far away, and then counts in the second sector, on the disk, for ever. */
function bootDisk(): Uint8Array {
  const image = new Uint8Array(size);
  for (let i = 4096; i < size; i += 4096) image[i] = i >> 12;
  const transfer = (ax: number): number[] => [
    ...[0xbb, 0x00, 0x7e], // mov bx, 0x7e00
    ...[0xb8, 0x01, ax], // mov ax: one sector
    ...[0xb9, 0x02, 0x00], // mov cx: cylinder 0, sector 2
    ...[0xba, 0x80, 0x00], // mov dx: head 0, first disk
    ...[0xcd, 0x13], // int 0x13
  ];
  // One sector to 0x8000: cylinder 2, head 15, sector 40.
  const far = [0xb8, 0x01, 0x02, 0xbb, 0x00, 0x80, 0xb9, 0x28, 0x02, 0xba, 0x80, 0x0f, 0xcd, 0x13];
  const loop = [...transfer(0x02), ...[0xff, 0x06, 0x00, 0x7e], ...transfer(0x03)]; // inc word [0x7e00]
  image.set([0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, ...far, ...loop]);
  image.set([0xeb, 256 - loop.length - 2], 11 + far.length + loop.length); // jmp loop
  image.set([0x55, 0xaa], 510);
  return image;
}

async function open(path = '/empty.html'): Promise<Page> {
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(origin + path);
  return page;
}

async function openEmpty(): Promise<Page> {
  const page = await open();
  await page.waitForFunction('globalThis.library');
  return page;
}

/** Files come out of a page as text. */
function fromBase64(text: string): Buffer {
  return Buffer.from(text, 'base64');
}

describe.skipIf(!haveChromium)('blockyard/browser', () => {
  test('keeps what was written to an overlay, over a base on a server', async () => {
    const page = await openEmpty();
    const write = async ({ url, value }: { url: string; value: number }) => {
      const yard = await library.openBlockyard();
      await yard.openOverlay({ node: 'hda', file: 'kept/hda.qcow2', base: { driver: 'http', url } });
      const { disk } = await yard.disk({ node: 'hda' });
      const before = new Uint8Array(1024);
      await disk.read(8192, before);
      await disk.write(8192, new Uint8Array(512).fill(value));
      const after = new Uint8Array(1024);
      await disk.read(8192, after);
      await yard.close();
      return [before[0], after[0], after[512]];
    };
    expect(await page.evaluate(write, { url: `${origin}/disk.img`, value: 0xaa })).toEqual([2, 0xaa, 0]);
    await page.close();
    const again = await openEmpty();
    expect(await again.evaluate(write, { url: `${origin}/disk.img`, value: 0xbb })).toEqual([0xaa, 0xbb, 0]);
    await again.close();
    expect(complaints.splice(0)).toEqual([]);
  });

  test('refuses an overlay when the server has another base', async () => {
    const page = await openEmpty();
    const attempt = async (url: string) => {
      const yard = await library.openBlockyard();
      const overlay = { node: 'hda', file: 'changed.qcow2', base: { driver: 'http', url } };
      const message = await yard.openOverlay(overlay).then(
        () => 'opened',
        (error: Error) => `${error.name}: ${error.message}`,
      );
      await yard.close();
      return message;
    };
    expect(await page.evaluate(attempt, `${origin}/disk.img`)).toBe('opened');
    server.etag = '"2"';
    expect(await page.evaluate(attempt, `${origin}/disk.img`)).toBe(
      `BaseChangedError: The base of overlay 'changed.qcow2' is not the one it was made on: it was ETag "1" and now is ETag "2"`,
    );
    server.etag = '"1"';
    await page.close();
  });

  test('names the address of a base that cannot be had, and why', async () => {
    const page = await openEmpty();
    const attempt = async (url: string) => {
      const yard = await library.openBlockyard();
      const overlay = {
        node: 'hda',
        file: 'none.qcow2',
        base: { driver: 'raw', file: { driver: 'http', url } },
      };
      const message = await yard.openOverlay(overlay).catch((error: Error) => error.message);
      await yard.close();
      return message;
    };
    expect(await page.evaluate(attempt, `${origin}/absent.img`)).toBe(
      `${origin}/absent.img: CURL: Error opening file: The requested URL returned error: 404`,
    );
    const elsewhere = new PageServer();
    elsewhere.find = () => disk;
    const url = `${await elsewhere.start()}/disk.img`;
    expect(await page.evaluate(attempt, url)).toMatch(
      `${url}: CURL: Error opening file: Failed to fetch: the server cannot be reached, does not let pages of ${origin} read it (CORS)`,
    );
    await elsewhere.stop();
    await page.close();
    complaints.splice(0); // the browser tells of each
  });

  test('refuses an empty base', async () => {
    const page = await openEmpty();
    const messages = await page.evaluate(async () => {
      const yard = await library.openBlockyard();
      await yard.registerBlob('nothing', new File([], 'nothing.img'));
      const overlay = { node: 'hda', file: 'empty.qcow2', base: { driver: 'blob', filename: 'nothing' } };
      const attempt = () => yard.openOverlay(overlay).catch((error: Error) => error.message);
      const messages = [await attempt(), await attempt()];
      await yard.close();
      return messages;
    });
    expect(messages).toEqual(Array(2).fill("The base of overlay 'empty.qcow2' is empty"));
    await page.close();
  });

  test('stops the machine while the server fails, and loses nothing when that is over', async () => {
    const page = await openEmpty();
    await page.evaluate(async (url) => {
      const yard = await library.openBlockyard();
      const state = {
        yard,
        events: [] as string[],
        disk: undefined as unknown,
        reading: undefined as unknown,
      };
      Object.assign(globalThis, { state });
      yard.on('*', ({ event }) => state.events.push(event));
      await yard.openOverlay({
        node: 'hda',
        file: 'failing.qcow2',
        base: { driver: 'http', url, 'x-retry': 0 },
      });
      state.disk = await yard.disk({ node: 'hda' });
    }, `${origin}/disk.img`);
    server.isBroken = true;
    await page.evaluate(() => {
      const { disk } = (
        globalThis as never as { state: { disk: import('../../host/library/index.ts').V86Disk } }
      ).state;
      const reading = new Promise<number>((resolve) =>
        disk.get((1 << 20) + 3 * 4096, 512, (data) => resolve(data[0]!)),
      );
      Object.assign((globalThis as never as { state: object }).state, { reading });
    });
    await page.waitForFunction("state.events.includes('STOP')");
    expect(await page.evaluate("state.yard.qmp('query-status').then(({ status }) => status)")).toBe(
      'io-error',
    );
    server.isBroken = false;
    await page.evaluate("state.yard.qmp('cont')");
    expect(await page.evaluate('state.reading')).toBe(3);
    expect(await page.evaluate("state.events.filter((name) => !name.startsWith('JOB'))")).toEqual([
      'BLOCK_IO_ERROR',
      'STOP',
      'RESUME',
    ]);
    await page.evaluate('state.yard.close()');
    await page.close();
    complaints.splice(0); // the browser tells of every 500
  });

  test('makes overlays over Files, and keeps them from a second worker', async () => {
    const page = await openEmpty();
    const results = await page.evaluate(async () => {
      const { openBlockyard } = library;
      const yard = await openBlockyard();
      await yard.registerBlob('chosen', new File([new Uint8Array(65536).fill(5)], 'chosen.img'));
      const base = { driver: 'blob', filename: 'chosen' };
      await yard.openOverlay({ node: 'hda', file: 'over-file.qcow2', base });
      const { disk } = await yard.disk({ node: 'hda' });
      const into = new Uint8Array(512);
      await disk.read(0, into);
      const other = await openBlockyard();
      const refusal = await other.add({ driver: 'opfs', 'node-name': 'x', filename: 'over-file.qcow2' }).then(
        () => 'opened',
        (error: Error) => error.message,
      );
      await other.close();
      await yard.close();
      return [into[0], refusal];
    });
    expect(results).toEqual([
      5,
      `Could not open 'over-file.qcow2': Failed to get "write" lock: it is open in another tab or worker of this browser`,
    ]);
    await page.close();
  });

  test.skipIf(!haveQemu)(
    'backs up two disks at one instant, full and incremental, into images QEMU likes',
    async () => {
      const page = await openEmpty();
      const files = await page.evaluate(async () => {
        const yard = await library.openBlockyard();
        const images = ['a', 'b'];
        const disks = [];
        for (const node of images) {
          await yard.createImage(`two/${node}.qcow2`, { size: 1 << 20 });
          const file = { driver: 'opfs', filename: `two/${node}.qcow2` };
          await yard.add({ driver: 'qcow2', 'node-name': node, file });
          disks.push((await yard.disk({ node })).disk);
        }
        for (const disk of disks) await disk.write(0, new Uint8Array(4096).fill(1));
        const full = await yard.backup({
          disks: { a: { target: 'two/a.0', bitmap: 'x' }, b: { target: 'two/b.0', bitmap: 'x' } },
        });
        for (const disk of disks) await disk.write(0, new Uint8Array(512).fill(2));
        await full.done;
        const next = await yard.backup({
          disks: {
            a: { target: 'two/a.1', bitmap: 'x', since: 'two/a.0' },
            b: { target: 'two/b.1', bitmap: 'x', since: 'two/b.0' },
          },
        });
        await next.done;
        const files: Record<string, string> = {};
        for (const name of ['a.0', 'a.1', 'b.0', 'b.1']) {
          const { stream } = await yard.exportImage({ file: `two/${name}` });
          const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
          let text = '';
          for (let i = 0; i < bytes.length; i += 8192) {
            text += String.fromCharCode(...bytes.subarray(i, i + 8192));
          }
          files[name] = btoa(text);
        }
        await yard.close();
        return files;
      });
      for (const [name, content] of Object.entries(files)) writeFileSync(scratch(name), fromBase64(content));
      for (const disk of ['a', 'b']) {
        for (const number of [0, 1]) {
          const path = scratch(`${disk}.${number}`);
          if (number === 1) {
            run('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', scratch(`${disk}.0`), path);
          }
          run('qemu-img', 'check', path);
          run('qemu-img', 'convert', '-O', 'raw', path, `${path}.raw`);
          const content = readFileSync(`${path}.raw`);
          expect([content[0], content[512]]).toEqual([number + 1, 1]);
        }
      }
      await page.close();
      expect(complaints.splice(0)).toEqual([]);
    },
  );

  test.skipIf(!haveFirmware)('keeps a machine in its disk, and goes back after a reload', async () => {
    disk = bootDisk();
    pages.set(
      '/machine.html',
      `<script type="module">
        import { V86 } from '/v86/libv86.mjs';
        import { openBlockyard } from '/blockyard/index.js';
        const yard = await openBlockyard();
        const base = { driver: 'http', url: new URL('/disk.img', location.href).href };
        await yard.openOverlay({ node: 'hda', file: 'saved.qcow2', base });
        const hda = await yard.disk({ node: 'hda' });
        const emulator = await yard.start(V86, {
          wasm_path: '/v86/v86.wasm', bios: { url: '/seabios.bin' }, vga_bios: { url: '/vgabios.bin' },
          memory_size: 16 << 20, disable_keyboard: true, disable_mouse: true, disable_speaker: true, hda,
        });
        const numberIn = (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(0, true);
        const runTo = async (count) => {
          const sector = new Uint8Array(512);
          await yard.qmp('cont');
          while (numberIn(sector) < count) {
            await hda.disk.read(512, sector);
            await new Promise(requestAnimationFrame);
          }
          await yard.qmp('stop');
        };
        // A disk answers nobody while the machine stands.
        const now = async () => {
          const target = 'now.img';
          await (await yard.backup({ disks: { hda: { target, format: 'raw' } } })).done;
          const { stream } = await yard.exportImage({ file: target });
          const content = new Uint8Array(await new Response(stream).arrayBuffer());
          await yard.removeFile(target);
          return [numberIn(content.subarray(512)), numberIn(emulator.read_memory(0x7e00, 2))];
        };
        globalThis.machine = { yard, runTo, now };
      </script>`,
    );
    const page = await open('/machine.html');
    const ask = <T>(expression: string): Promise<T> =>
      page.evaluate(`(async () => { const { yard, runTo, now } = machine; ${expression} })()`);
    await page.waitForFunction('globalThis.machine');
    const saved = await ask<number[]>(`await runTo(20); await yard.saveMachine('at 20'); return now();`);
    expect(saved[0]).toBeGreaterThanOrEqual(20);
    expect(
      await ask(`await runTo(${saved[0]! + 20}); await yard.loadMachine('at 20'); return now();`),
    ).toEqual(saved);
    const [further] = await ask<number[]>(`await runTo(${saved[0]! + 30}); return now();`);
    await page.reload();
    await page.waitForFunction('globalThis.machine');
    const [there] = await ask<number[]>(`await yard.qmp('stop'); return now();`);
    expect(there).toBeGreaterThanOrEqual(further!);
    expect(await ask(`await yard.loadMachine('at 20'); return now();`)).toEqual(saved);
    await ask(`await runTo(${saved[0]! + 3}); await yard.detach(); await yard.close()`);
    await page.close();
    expect(complaints.splice(0)).toEqual([]);
  });

  test.skipIf(!haveFirmware)(
    'runs the page of the README: v86 on an overlay, backed up by a button',
    async () => {
      const readme = readFileSync(join(root, 'host/library/README.md'), 'utf8');
      const [example, map] = [...readme.matchAll(/```html\n(.*?)```/gs)].map(([, block]) => block!); // it is what is matched
      expect(example!.trimEnd().split('\n').length).toBe(26);
      pages.set('/example.html', `<!doctype html>${map}${example}`);
      disk = bootDisk();
      // Of another state than in the tests before: nothing of it is kept in the browser.
      server.etag = '"example"';
      failsAtStart = true;
      const page = await open('/example.html');
      const backUp = async (): Promise<Buffer> => {
        await page.evaluate("document.querySelector('a').removeAttribute('href')");
        await page.click('text=Back up');
        await page.waitForFunction("document.querySelector('a').hasAttribute('href')");
        const text = await page.evaluate(async () => {
          const link = document.querySelector<HTMLAnchorElement>('a')!; // the page has one
          const bytes = new Uint8Array(await (await fetch(link.href)).arrayBuffer());
          let characters = '';
          for (const byte of bytes) characters += String.fromCharCode(byte);
          return btoa(characters);
        });
        return fromBase64(text);
      };
      const again = page.locator('text=Input/output error: try again');
      await again.waitFor();
      server.etag = '"example"';
      await again.click();
      await page.waitForFunction("document.querySelector('button').onclick");
      expect(await again.isVisible()).toBe(false);
      let counted = 0;
      while (counted === 0) counted = counterIn(await backUp());
      const later = counterIn(await backUp());
      expect(later).toBeGreaterThanOrEqual(counted);
      const isKept = async (): Promise<boolean> => {
        const names = await page.evaluate(async () => {
          const directory = await navigator.storage.getDirectory();
          const found: string[] = [];
          for await (const name of directory.keys()) found.push(name);
          return found;
        });
        return names.some((name) => name.startsWith('backup-'));
      };
      await expect.poll(isKept).toBe(false);
      await page.close();
      expect(complaints.splice(0)).toEqual([]);
    },
  );
});

/** What the guest has counted to, by a backup of its disk. */
function counterIn(image: Buffer): number {
  const path = scratch('backup.qcow2');
  writeFileSync(path, image);
  if (haveQemu) run('qemu-img', 'check', path);
  return clusterZero(image).readUInt16LE(512);
}

/** The first cluster of a qcow2 image's disk. */
function clusterZero(image: Buffer): Buffer {
  const address = (at: number): number => Number(image.readBigUInt64BE(at) & 0x00fffffffffffe00n);
  const l1 = address(40);
  return image.subarray(address(address(l1)));
}
