/**
 * Machines in the page that start from something else than their first disk: a CD, a floppy, a kernel with its command line. What
 * is to be started comes by a link, by drop, or by the fields; and the words for links and images that are none.
 */
import { existsSync, writeFileSync } from 'node:fs';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { requireAll } from '../support/tools.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const patient = { timeout: 30_000 };
const haveFirmware = requireAll || existsSync('/usr/share/seabios/bios.bin');

/** Real mode, at DS:SI: says the text there, and halts. */
const say = [
  ...[0xac, 0x08, 0xc0, 0x74, 0x09], // lodsb; out at zero
  ...[0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xeb, 0xf2], // teletype; again
  ...[0xf4, 0xeb, 0xfd],
];

/** For 0x7c00, as firmware loads it from a floppy or a CD. */
function bootSector(text: string): Uint8Array {
  const start = [0x31, 0xc0, 0x8e, 0xd8]; // ds = 0
  const textAt = 0x7c00 + start.length + 3 + say.length;
  const sector = new Uint8Array(512);
  sector.set([...start, 0xbe, textAt & 0xff, textAt >> 8, ...say, ...new TextEncoder().encode(text)]);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function floppy(): Uint8Array {
  const disk = new Uint8Array(1440 * 1024);
  disk.set(bootSector('this is the floppy'));
  return disk;
}

/** ISO 9660 as far as firmware reads it: El Torito without emulation. */
function cd(): Uint8Array {
  const sector = 2048;
  const [catalog, boot, sectors] = [19, 20, 64];
  const disk = new Uint8Array(sectors * sector);
  const text = (at: number, value: string) => disk.set(new TextEncoder().encode(value), at);
  for (const [number, type] of [
    [16, 1],
    [17, 0],
    [18, 255],
  ] as const) {
    disk[number * sector] = type;
    text(number * sector + 1, 'CD001\x01');
  }
  text(17 * sector + 7, 'EL TORITO SPECIFICATION');
  disk[17 * sector + 0x47] = catalog;
  const entry = catalog * sector;
  disk.set([0x01, 0x00], entry);
  disk.set([0xaa, 0x55, 0x55, 0xaa], entry + 28); // the sum of these words is zero
  disk.set([0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, boot], entry + 32);
  disk.set(bootSector('this is the CD'), boot * sector);
  return disk;
}

/** Of the boot protocol of Linux as much as there has to be; says its command line. */
function kernel(): Uint8Array {
  const image = new Uint8Array(4 * 512);
  image[0x1f1] = 1; // sectors of set-up
  image.set([0x55, 0xaa], 0x1fe);
  image.set([0xeb, 0x6a], 0x200); // to 0x26c
  image.set(new TextEncoder().encode('HdrS'), 0x202);
  image.set([0x04, 0x02], 0x206);
  image[0x211] = 1; // loaded high
  image.set([0x00, 0x00, 0x10, 0x00], 0x214);
  const findLine = [
    ...[0x66, 0xa1, 0x28, 0x02], // eax = address of the command line
    ...[0x89, 0xc6, 0x83, 0xe6, 0x0f], // si: within its paragraph
    ...[0x66, 0xc1, 0xe8, 0x04, 0x8e, 0xd8], // ds: that one
  ];
  image.set([...findLine, ...say], 0x26c);
  return image;
}

describe.skipIf(!haveChromium || !haveFirmware)('a machine with media', () => {
  let server: WebServer;
  let browser: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    const files = { 'boot.iso': cd(), 'floppy.img': floppy(), vmlinuz: kernel() };
    for (const [name, content] of Object.entries(files)) writeFileSync(scratch(name), content);
    writeFileSync(scratch('disk.gz'), Uint8Array.of(0x1f, 0x8b, ...new Uint8Array(2000)));
    server = await WebServer.start(scratch('boot.iso'), scratch('floppy.img'), scratch('vmlinuz'));
    browser = await launchChromium(scratch('profile'));
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  beforeEach(async () => {
    page = await browser.newPage();
  });

  afterEach(() => page.close());

  async function open(link = ''): Promise<void> {
    await page.goto(`${server.base}/${link}`);
    await page.waitForSelector('button[type=submit]', patient);
    await page.waitForSelector('select[name=image]', { state: 'attached', ...patient });
  }

  async function start(expected: string): Promise<void> {
    await page.click('button[type=submit]');
    const shown = page.locator('#pane-screen');
    await expect.poll(() => shown.innerText(patient), patient).toContain(expected);
  }

  const problem = () => page.innerText('[role=alert]', patient);

  test('starts from a CD that a link names', async () => {
    await open('#cd=boot.iso&memory=64');
    await start('this is the CD');
  }, 60_000);

  test('starts a kernel that a link names, with a command line', async () => {
    await open('#kernel=vmlinuz&cmdline=hello+from+the+link');
    await start('hello from the link');
  }, 60_000);

  test('starts from a floppy of this computer', async () => {
    await open();
    await page.check('input[name=source][value=none]');
    await page.click('.media summary');
    await page.setInputFiles('input[name=floppy-file]', scratch('floppy.img'));
    await start('this is the floppy');
  }, 60_000);

  test('sorts files that are dropped by what they are', async () => {
    await open();
    const contents = { 'a.img': 4096, 'b.img': 8192 };
    await page.evaluate(
      ([kernelBytes, cdBytes, sizes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(kernelBytes!)], 'k'));
        transfer.items.add(new File([new Uint8Array(cdBytes!)], 'c'));
        for (const size of sizes!) transfer.items.add(new File([new Uint8Array(size)], `disk-${size}`));
        window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, cancelable: true }));
      },
      [[...kernel()], [...cd().subarray(0, 0x9000)], Object.values(contents)],
    );
    const chosen = (name: string) =>
      page.$eval(`input[name=${name}]`, (input) => (input as HTMLInputElement).files?.[0]?.name);
    await expect.poll(() => chosen('kernel-file'), patient).toBe('k');
    expect(await chosen('cd-file')).toBe('c');
    expect(await chosen('file')).toBe('disk-4096');
    expect(await chosen('disk2-file')).toBe('disk-8192');
    expect(await page.isChecked('input[name=source][value=file]')).toBe(true);
  });

  test('chooses an image of the server that a link names', async () => {
    await open('#image=floppy.img');
    await expect.poll(() => page.isChecked('input[name=source][value=image]'), patient).toBe(true);
    expect(await page.inputValue('select[name=image]')).toBe('floppy.img');
  });

  test.each([
    ['#picture=x', 'The link says “picture”'],
    ['#image=ftp://example.org/a', 'which is no address of a web server'],
    ['#image=floppy.img&memory=3', 'memory=3, which cannot be had here'],
  ])('says what is wrong with the link %s', async (link, expected) => {
    await open(link);
    expect(await problem()).toContain(expected);
  });

  test('says what is wrong with an address', async () => {
    await open();
    for (const [url, expected] of [
      [`${server.base}/images/none.img`, 'There is nothing at'],
      [`${server.base}/`, 'there is a web page, not a disk image'],
      ['http://127.0.0.1:9/disk.img', 'let pages of other sites read'],
    ] as const) {
      await page.fill('input[name=url]', url);
      await page.click('button[type=submit]');
      await expect.poll(problem, patient).toContain(expected);
    }
  }, 60_000);

  test('says what a file is that is no image', async () => {
    await open();
    await page.setInputFiles('input[name=file]', scratch('disk.gz'));
    await page.click('button[type=submit]');
    expect(await problem()).toContain('disk.gz is a gzip file, not a disk image: unpack it first.');
  });

  test('says that an empty disk alone starts nothing, and that the embedded guest takes no media', async () => {
    await open();
    await page.check('input[name=source][value=none]');
    await page.click('button[type=submit]');
    expect(await problem()).toContain('add a CD, a floppy or a kernel');
    await page.click('.media summary');
    await page.fill('input[name=cd-url]', `${server.base}/images/boot.iso`);
    await page.check('input[name=source][value=embedded]');
    await page.click('button[type=submit]');
    await expect.poll(problem, patient).toContain('The embedded guest takes neither');
  });
});
