/**
 * A machine leaves the browser as one file and comes back: with its disks, its backups and the machines saved in it, to where there is none of
 * it. What is no such file, or a machine that is there already, is refused in words, and leaves nothing.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Page } from 'playwright';
import { beforeAll, describe, expect, test } from 'vitest';
import { readTar, type TarEntry, writeTar } from '../../host/web/tar.ts';
import { haveChromium } from '../support/chromium.ts';
import { MachinePage, servePage } from '../support/machine-page.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

const scratch = scratchDirectory();
const run = promisify(execFile);
const patient = { timeout: 30_000 };
/** It starts from a small image, so that its backups are small, too. */
const name = 'embedded-base.img';
const card = `[data-machine="${name}"]`;
const images = new Map([['base.img', new Uint8Array(16 << 20)]]);

describe.skipIf(!haveChromium)('a machine of the page as a file', () => {
  const machine = new MachinePage(() => servePage(() => images), 'one');
  let page: Page;
  let archive: string;
  let sizes: Record<string, number>;

  /** By their names. */
  const filesInPage = () =>
    page.evaluate(async () => {
      const found: Record<string, number> = {};
      const directory = await navigator.storage.getDirectory();
      for await (const handle of directory.values()) {
        if (handle.kind === 'file')
          found[handle.name] = (await (handle as FileSystemFileHandle).getFile()).size;
      }
      return found;
    });

  const saying = async (text: string | RegExp) =>
    page.locator('#messages p', { hasText: text }).first().waitFor(patient);

  const importFile = (path: string) => page.setInputFiles('input[name=machine-archive]', path);

  async function powerOff(): Promise<void> {
    await page.click('[data-action=power-off]');
    await page.click('[data-answer=yes]');
    await page.waitForSelector(card, patient);
  }

  beforeAll(async () => {
    ({ page } = machine);
    await machine.load();
    await page.selectOption('select[name=base]', 'base.img', patient);
    await page.click('button[type=submit]');
    await page.waitForSelector('.state.running', patient);
    await page.click('[data-action=backup]', patient);
    await page.waitForSelector('[data-backup="1"]', patient);
    await page.fill('input[name=name]', 'early');
    await page.click('[data-action=save]');
    await page.waitForSelector('[data-saved=early]', patient);
    await powerOff();
  }, 90_000);

  test('has every file as it is in the browser, for tar and qemu-img', async () => {
    sizes = await filesInPage();
    const downloading = page.waitForEvent('download', patient);
    await page.focus(`${card} [data-action=export]`);
    await page.keyboard.press('Enter');
    const download = await downloading;
    expect(download.suggestedFilename()).toBe(`${name}.tar`);
    archive = scratch(`${name}.tar`);
    await download.saveAs(archive);
    await saying(`${name} was exported`);
    mkdirSync(scratch('out'));
    execFileSync('tar', ['-xf', archive, '-C', scratch('out')]);
    const folder = scratch(`out/${name}`);
    const unpacked = readdirSync(folder).map((name) => [name, statSync(`${folder}/${name}`).size]);
    expect(Object.fromEntries(unpacked)).toEqual(sizes);
    const images = Object.keys(sizes).filter((name) => name.endsWith('.qcow2'));
    expect(images.length).toBe(4);
    if (!haveQemu) return;
    // The image that the disks stand on comes from the server of this process.
    for (const image of images) await run('qemu-img', ['check', '-q', `${folder}/${image}`]);
  }, 60_000);

  test('is refused while the machine is there', async () => {
    await importFile(archive);
    await saying(`${name}.tar: There is a machine “${name}” here already`);
    expect(await filesInPage()).toEqual(sizes);
  });

  test('brings back what was deleted, by keyboard, with backups, changes and saved machines', async () => {
    await page.click(`${card} [data-action=delete]`);
    await page.click('[data-answer=yes]');
    await page.waitForSelector(card, { state: 'detached', ...patient });
    expect(await filesInPage()).toEqual({});
    const choosing = page.waitForEvent('filechooser', patient);
    await page.focus('[data-action=import]');
    await page.keyboard.press('Enter');
    await (await choosing).setFiles(archive);
    await saying(`${name} was imported`);
    expect(await filesInPage()).toEqual(sizes);
    await page.click(`${card} [data-action=start]:enabled`, patient);
    await page.waitForSelector('.state.running', patient);
    expect(await page.isEnabled('[data-action=incremental]')).toBe(true);
    await page.click('[data-saved=early] [data-action=load]', patient);
    await page.click('[data-answer=yes]');
    await expect
      .poll(() => page.innerText('#incremental-why'), patient)
      .toContain('The disks went back with a saved machine');
    await page.click('[data-backup="1"] [data-action=restore]', patient);
    await page.click('[data-answer=yes]');
    expect(await page.innerText('[data-words=restored]', patient)).toContain('show one instant');
    await powerOff();
    await page.click(`${card} [data-action=delete]`);
    await page.click('[data-answer=yes]');
    await page.waitForSelector(card, { state: 'detached', ...patient });
  }, 90_000);

  test('that is damaged, or has what does not belong to it, is refused and leaves nothing', async () => {
    const whole = new Blob([new Uint8Array(readFileSync(archive))]);
    const entries = await readTar(whole);
    const isDescription = ({ name }: TarEntry) => name.endsWith('.machine.json');
    const description = JSON.parse(await entries.find(isDescription)!.content.text()) as object; // it has one
    const described = (change: object): TarEntry[] =>
      entries.map((entry) =>
        isDescription(entry)
          ? { ...entry, content: new Blob([JSON.stringify({ ...description, ...change })]) }
          : entry,
      );
    const stranger = { name: `${name}/other.qcow2`, content: new Blob(['x']) };
    const cases: [string, Blob | readonly TarEntry[], string][] = [
      ['text', new Blob(['no archive'.repeat(100)]), 'It is no tar archive'],
      ['short', whole.slice(0, whole.size - 70_000), 'It breaks off'],
      ['nothing', entries.filter((entry) => !isDescription(entry)), 'No machine was exported to it'],
      ['stranger', [...entries, stranger], `“other.qcow2” in it does not belong to ${name}`],
      ['twice', [...entries, entries[1]!], 'twice'],
      [
        'backup',
        entries.filter(({ name }) => !name.endsWith('backup-1-a.qcow2')),
        `It lacks “${name}-backup-1-a.qcow2”`,
      ],
      [
        'member',
        described({ secret: 1 }),
        `Its description of ${name} is damaged: Parameter 'secret' is unexpected`,
      ],
      [
        'other',
        described({ files: { a: 'firmware-bios.bin', b: `${name}-b.qcow2` } }),
        'it says what cannot be',
      ],
      ['base', described({ base: 7 }), 'it says what cannot be'],
      [
        'link',
        described({
          plan: { boot: 'disk', memoryMiB: 64, image: { url: 'javascript:alert(1)', name: 'x' } },
        }),
        'it says what cannot be',
      ],
    ];
    for (const [file, content, words] of cases) {
      const blob = content instanceof Blob ? content : writeTar(content as TarEntry[], new Date(0));
      const path = scratch(`${file}.tar`);
      writeFileSync(path, new Uint8Array(await blob.arrayBuffer()));
      await importFile(path);
      const told = page.locator('#messages p', { hasText: `${file}.tar: ` }).first();
      expect(await told.innerText(patient)).toContain(words);
    }
    expect(await filesInPage()).toEqual({});
  }, 60_000);

  test('needs room, and leaves nothing where there is none', async () => {
    const cdp = await machine.context.newCDPSession(page);
    const origin = machine.server.base;
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1 << 20 });
    await importFile(archive);
    await saying(/base\.img\.tar: It needs \d.*, and the browser has no room for that/);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    expect(await filesInPage()).toEqual({});
  });
});
