/** v86 in the worker of a page, in Chromium: what one sees of it, and its keys. */
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { findInPage, haveFirmware } from '../support/page-site.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };

/** A boot sector that shows each character that is typed; for a `g` it makes a white picture, for a `w` it writes sector 2. */
function bootDisk(): Uint8Array {
  const image = new Uint8Array(1 << 20);
  const graphics = [
    ...[0xb8, 0x13, 0x00, 0xcd, 0x10], // mov ax, 0x13; int 0x10: 320 × 200 in 256 colours
    ...[0xb8, 0x00, 0xa0, 0x8e, 0xc0, 0x31, 0xff], // mov ax, 0xa000; mov es, ax; xor di, di
    ...[0xb0, 0x0f, 0xb9, 0x00, 0xfa, 0xf3, 0xaa], // mov al, 15; mov cx, 64000; rep stosb
    ...[0x8e, 0xc3], // mov es, bx
  ];
  const write = [
    ...[0xbb, 0x00, 0x7c, 0xb8, 0x01, 0x03], // mov bx, 0x7c00; mov ax, 0x0301: one sector
    ...[0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13], // mov cx, 2; mov dx, 0x80; int 0x13
    ...[0x31, 0xdb], // xor bx, bx
  ];
  const loop = [
    ...[0x31, 0xc0, 0xcd, 0x16], // xor ax, ax; int 0x16: wait for a key
    ...[0xb4, 0x0e, 0xcd, 0x10], // mov ah, 0x0e; int 0x10: show it
    ...[0x3c, 0x77, 0x75, write.length, ...write], // cmp al, 'w'; jne
    ...[0x3c, 0x67, 0x75, graphics.length, ...graphics], // cmp al, 'g'; jne
  ];
  image.set([0x31, 0xdb, 0x8e, 0xdb, 0x8e, 0xc3, 0x8e, 0xd3, 0xbc, 0x00, 0x7c, ...loop]);
  image.set([0xeb, 256 - loop.length - 2], 11 + loop.length); // jmp loop
  image.set([0x55, 0xaa], 510);
  return image;
}

const html = `<!doctype html><title>test</title><body><div id="screen"><div></div><canvas></canvas></div><input><script type="module">
  import { openBlockyard } from '/browser/index.js';
  const yard = await openBlockyard();
  const events = [];
  yard.on('*', ({ event }) => events.push(event));
  await yard.registerBlob('disk', await (await fetch('/disk.img')).blob());
  await yard.openOverlay({ node: 'hda', file: 'worker.qcow2', base: { driver: 'blob', filename: 'disk' }, acceptBase: true });
  const emulator = await yard.startInWorker('/v86/libv86.mjs', {
    wasm_path: '/v86/v86.wasm', bios: { url: '/firmware/bios.bin' }, vga_bios: '/firmware/vgabios.bin',
    memory_size: 16 << 20, screen_container: document.querySelector('#screen'), hda: { node: 'hda' },
  });
  const colour = () => {
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext('2d');
    context.drawImage(document.querySelector('canvas'), -100, -100);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const sector = async (number) => {
    await (await yard.backup({ disks: { hda: { target: 'copy.img', format: 'raw' } } })).done;
    const { stream } = await yard.exportImage({ file: 'copy.img' });
    const content = new Uint8Array(await new Response(stream).arrayBuffer());
    await yard.removeFile('copy.img');
    return [...content.subarray(number * 512, number * 512 + 512)];
  };
  globalThis.machine = { yard, emulator, events, colour, sector };
</script>`;

describe.skipIf(!haveChromium || !haveFirmware)('v86 in the worker of a page', () => {
  const server = new PageServer();
  let browser: BrowserContext;
  let page: Page;
  const complaints: string[] = [];
  const disk = bootDisk();

  beforeAll(async () => {
    server.find = (path) => {
      if (path === '/machine.html') return html;
      if (path === '/favicon.ico') return '';
      return path === '/disk.img' ? disk : findInPage(path, new Map());
    };
    const origin = await server.start();
    browser = await launchChromium(scratch('profile'));
    page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${origin}/machine.html`);
    await page.waitForFunction('globalThis.machine', undefined, patient);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server.stop();
  });

  const text = (): Promise<string> => page.locator('#screen > div').innerText();

  test('shows text, and takes keys but those of fields', async () => {
    await expect.poll(text, patient).toContain('Booting from Hard Disk');
    await page.keyboard.type('abc');
    await expect.poll(text, patient).toMatch(/abc/);
    await page.focus('input');
    await page.keyboard.type('xyz');
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('Shift+D');
    await expect.poll(text, patient).toMatch(/abcD/);
    expect(await page.inputValue('input')).toBe('xyz');
    expect(await page.locator('#screen .cursor').count()).toBe(1);
  });

  test('stands and goes on with the machine, and is kept in its disk', async () => {
    await page.evaluate("machine.yard.saveMachine('one')");
    await page.keyboard.type('efg');
    await expect.poll(() => page.locator('#screen > canvas').isVisible(), patient).toBe(true);
    await page.evaluate("machine.yard.loadMachine('one')");
    await expect.poll(() => page.locator('#screen > canvas').isVisible(), patient).toBe(false);
    await page.keyboard.type('h');
    await expect.poll(text, patient).toMatch(/abcDh/);
    await page.evaluate("machine.yard.qmp('stop')");
    expect(await page.evaluate("machine.emulator.run('is_running')")).toBe(false);
    await page.evaluate("machine.yard.qmp('cont')");
  });

  test('shows pictures', async () => {
    await page.keyboard.type('g');
    await expect.poll(() => page.locator('#screen > canvas').isVisible(), patient).toBe(true);
    await expect.poll(() => page.evaluate('machine.colour()'), patient).toEqual([255, 255, 255, 255]);
  });

  test('writes to its disk, and ends', async () => {
    await page.keyboard.type('w');
    const boot = [...disk.subarray(0, 512)];
    await expect.poll(() => page.evaluate('machine.sector(1)'), patient).toEqual(boot);
    await page.evaluate("machine.emulator.destroy().then(() => machine.yard.remove('hda'))");
    await page.evaluate('machine.yard.close()');
    expect(complaints).toEqual([]);
  });
});
