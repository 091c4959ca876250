/**
 * Machines in the page that start from something else than their first disk: a CD, a floppy, a kernel with its command line. What
 * is to be started comes by a link, by drop, or by the fields; and the words for links and images that are none.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { haveChromium } from '../support/chromium.ts';
import { MachinePage } from '../support/machine-page.ts';
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
  const files = { 'boot.iso': cd(), 'floppy.img': floppy(), vmlinuz: kernel() };
  for (const [name, content] of Object.entries(files)) writeFileSync(scratch(name), content);
  writeFileSync(scratch('disk.gz'), Uint8Array.of(0x1f, 0x8b, ...new Uint8Array(2000)));
  const machine = new MachinePage(
    () => WebServer.start(scratch('boot.iso'), scratch('floppy.img'), scratch('vmlinuz')),
    'for each test',
  );

  const problem = () => machine.page.innerText('[role=alert]', patient);

  test('starts from a CD that a link names', async () => {
    await machine.load('#cd=boot.iso&memory=64');
    await machine.start('this is the CD');
  }, 60_000);

  test('starts a kernel that a link names, with a command line', async () => {
    await machine.load('#kernel=vmlinuz&cmdline=hello+from+the+link');
    await machine.start('hello from the link');
  }, 60_000);

  test('starts from a floppy of this computer', async () => {
    await machine.load();
    await machine.page.check('input[name=source][value=none]');
    await machine.page.click('.media summary');
    await machine.page.setInputFiles('input[name=floppy-file]', scratch('floppy.img'));
    await machine.start('this is the floppy');
  }, 60_000);

  test('sorts files that are dropped by what they are', async () => {
    await machine.load();
    const contents = { 'a.img': 4096, 'b.img': 8192 };
    await machine.page.evaluate(
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
      machine.page.$eval(`input[name=${name}]`, (input) => (input as HTMLInputElement).files?.[0]?.name);
    await expect.poll(() => chosen('kernel-file'), patient).toBe('k');
    expect(await chosen('cd-file')).toBe('c');
    expect(await chosen('file')).toBe('disk-4096');
    expect(await chosen('disk2-file')).toBe('disk-8192');
    expect(await machine.page.isChecked('input[name=source][value=file]')).toBe(true);
  });

  test('chooses an image of the server that a link names', async () => {
    await machine.load('#image=floppy.img');
    await expect.poll(() => machine.page.isChecked('input[name=source][value=image]'), patient).toBe(true);
    expect(await machine.page.inputValue('select[name=image]')).toBe('floppy.img');
  });

  test.each([
    ['#picture=x', 'The link says “picture”'],
    ['#image=ftp://example.org/a', 'which is no address of a web server'],
    ['#image=floppy.img&memory=3', 'memory=3, which cannot be had here'],
  ])('says what is wrong with the link %s', async (link, expected) => {
    await machine.load(link);
    expect(await problem()).toContain(expected);
  });

  test('says what is wrong with an address', async () => {
    await machine.load();
    for (const [url, expected] of [
      [`${machine.server.base}/images/none.img`, 'There is nothing at'],
      [`${machine.server.base}/`, 'there is a web page, not a disk image'],
      ['http://127.0.0.1:9/disk.img', 'does not let pages of http'],
    ] as const) {
      await machine.page.fill('input[name=url]', url);
      await machine.page.click('button[type=submit]');
      await expect.poll(problem, patient).toContain(expected);
    }
  }, 60_000);

  test('leaves nothing of a machine that could not be started, and what it was of one that ran', async () => {
    const { page } = machine;
    const start = async (cdName: string) => {
      await machine.load();
      await page.selectOption('select[name=image]', 'floppy.img');
      await page.click('.media summary');
      await page.fill('input[name=cd-url]', `${machine.server.base}/images/${cdName}`);
      await page.click('button[type=submit]');
    };
    const card = page.locator('[data-machine$="images_floppy.img"]');
    await start('none.iso');
    await expect.poll(problem, patient).toContain('none.iso');
    await page.reload();
    await page.waitForSelector('.kept', patient);
    expect(await card.count()).toBe(0);
    expect(await page.locator('[data-action=leftovers]').count()).toBe(0);
    await start('boot.iso');
    await page.waitForSelector('.state.running', patient);
    await start('none.iso');
    await expect.poll(problem, patient).toContain('none.iso');
    await page.reload();
    await card.locator('[data-action=start]').click(patient);
    await page.waitForSelector('.state.running', patient);
  }, 60_000);

  test('says what a file is that is no image', async () => {
    await machine.load();
    await machine.page.setInputFiles('input[name=file]', scratch('disk.gz'));
    await machine.page.click('button[type=submit]');
    expect(await problem()).toContain('disk.gz is a gzip file, not a disk image: unpack it first.');
  });

  test('says that an empty disk alone starts nothing, and that the embedded guest takes no media', async () => {
    await machine.load();
    await machine.page.check('input[name=source][value=none]');
    await machine.page.click('button[type=submit]');
    expect(await problem()).toContain('add a CD, a floppy or a kernel');
    await machine.page.click('.media summary');
    await machine.page.fill('input[name=cd-url]', `${machine.server.base}/images/boot.iso`);
    await machine.page.check('input[name=source][value=embedded]');
    await machine.page.click('button[type=submit]');
    await expect.poll(problem, patient).toContain('The embedded guest takes neither');
  });
});
