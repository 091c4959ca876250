/**
 * The page of host/library/README.md in a project of its own, with the package as packed: built by bundlers that are told nothing,
 * served by https, and used in Chromium and Firefox as somebody would: a guest writes to its disk, the page is loaded again, the disk
 * is still there, and a backup of it is downloaded.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { BrowserContext } from 'playwright';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { makeIdentity } from '../../host/cli/web/certificate.ts';
import { bootCounterDisk, counterOffset } from '../support/boot-counter.ts';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { haveFirefox, openInFirefox, ReportServer } from '../support/firefox.ts';
import { packedProject } from '../support/packed-project.ts';
import { PageServer } from '../support/page-server.ts';
import { run } from '../support/qemu.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';
import { type Bundler, bundlers } from './bundlers.ts';
import { exampleOf, scriptOf } from './readme-examples.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const firmware = '/usr/share/seabios';
const haveFirmware = existsSync(join(firmware, 'bios.bin'));
const tried = bundlers.filter(({ install }) => !install || process.env['BUNDLERS'] === 'all');
const page = `<!doctype html><link rel="icon" href="data:,">${exampleOf('host/library/README.md', 'html').program}`;

/** Makes the project that the README describes. */
function makeProject({ name, install = [], takesPage }: Bundler): string {
  const around = scratch(name.replace(' ', '-'));
  const { folder } = packedProject(join(around, 'project'));
  const versions = { blockyard: '0.1.0', v86: '0.5.462' };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', dependencies: versions }));
  if (install.length > 0)
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefix', around, ...install]);
  const assets = join(folder, 'public');
  mkdirSync(assets);
  copyFileSync(join(root, 'node_modules/v86/build/v86.wasm'), join(assets, 'v86.wasm'));
  copyFileSync(join(firmware, 'bios.bin'), join(assets, 'seabios.bin'));
  copyFileSync(join(firmware, 'vgabios-stdvga.bin'), join(assets, 'vgabios.bin'));
  writeFileSync(join(assets, 'disk.img'), bootCounterDisk());
  const script = scriptOf(page);
  writeFileSync(join(folder, 'main.js'), script.replace(/^.* from 'v86';$/m, ''));
  const html = page.replace(`>\n${script}`, ' src="main.js">');
  writeFileSync(join(folder, 'index.html'), takesPage ? page : html);
  return folder;
}

/** As `npx` does. */
function startOf(folder: string, [command, ...args]: readonly string[]): [string, string[]] {
  const places = [join(folder, '../node_modules/.bin'), join(folder, '../../node_modules/.bin')];
  const found = [...places, join(root, 'node_modules/.bin')]
    .map((bin) => join(bin, command!)) // every command has a name
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${command} is not installed`);
  return [found, args];
}

/** Built, as a web server has it. */
function build(folder: string, { build: command }: Bundler): string {
  const [program, args] = startOf(folder, command);
  execFileSync(program, args, { cwd: folder, stdio: 'pipe' });
  const built = join(folder, 'dist');
  cpSync(join(folder, 'public'), built, { recursive: true });
  const html = join(built, 'index.html');
  if (!existsSync(html)) copyFileSync(join(folder, 'index.html'), html);
  return built;
}

/**
 * Uses the page as somebody would: starts it, loads it again, makes a backup and downloads it. The guest shows each time how often it
 * was started, and has written that to its disk. Gives the downloaded file.
 */
async function backupFrom(url: string, browser: BrowserContext, { takesPage }: Bundler): Promise<Buffer> {
  const opened = await browser.newPage();
  if (!takesPage) await opened.addInitScript({ path: join(root, 'node_modules/v86/build/libv86.js') });
  const complaints: string[] = [];
  opened.on('pageerror', (problem) => complaints.push(String(problem)));
  opened.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  const waitFor = (condition: string): Promise<unknown> =>
    opened.waitForFunction(condition, undefined, { timeout: 20_000 }).catch((cause: unknown) => {
      throw new Error(`It is not so: ${condition}. The page says: ${complaints.join('; ')}`, { cause });
    });
  await opened.goto(url);
  await waitFor(`${screenText}.includes('boots: 1')`);
  await opened.reload();
  await waitFor(`${screenText}.includes('boots: 2')`);
  await opened.click('text=Back up');
  await waitFor("document.querySelector('a').href");
  const [download] = await Promise.all([opened.waitForEvent('download'), opened.click('text=Download')]);
  expect(download.suggestedFilename()).toBe('hda.qcow2');
  const backup = readFileSync(await download.path());
  await opened.close();
  expect(complaints).toEqual([]);
  return backup;
}

const screenText = "document.querySelector('#screen').textContent";

function fileIn(folder: string, path: string): Buffer | undefined {
  const file = join(folder, path);
  return path !== '/' && existsSync(file) ? readFileSync(file) : undefined;
}

/** Does in the page what `backupFrom` does from outside, and reports what goes wrong. */
const visitor = `<script type="module">
  addEventListener('unhandledrejection', ({ reason }) => fetch('/report', { method: 'POST', body: String(reason) }));
  const [button, link] = [document.querySelector('button'), document.querySelector('a')];
  const when = async (isSo) => { while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 50)); };
  const visit = Number(sessionStorage.visit ??= 1);
  await when(() => ${screenText}.includes('boots: ' + visit));
  if (visit === 1) {
    sessionStorage.visit = 2;
    location.reload();
  } else {
    button.click();
    await when(() => link.href);
    link.click();
  }
</script>`;

/** Of a file that a browser downloads: when it is there as a whole. */
async function downloaded(path: string): Promise<Buffer> {
  const isThere = (): boolean => existsSync(path) && !existsSync(`${path}.part`) && statSync(path).size > 0;
  await vi.waitUntil(isThere, { timeout: 60_000, interval: 100 });
  return readFileSync(path);
}

function checkBackup(image: Buffer): void {
  expect(image.subarray(0, 4).toString('latin1')).toBe('QFI\xfb');
  if (!haveQemu) return;
  writeFileSync(scratch('backup.qcow2'), image);
  run('qemu-img', 'check', scratch('backup.qcow2'));
  run('qemu-img', 'convert', '-O', 'raw', scratch('backup.qcow2'), scratch('backup.raw'));
  const content = readFileSync(scratch('backup.raw'));
  expect(content.length).toBe(1 << 20);
  expect([content[counterOffset], content[65535], content[65536]]).toEqual([2, 0, 5]);
}

describe.skipIf(!haveChromium || !haveFirmware).each(tried)('$name', (bundler) => {
  let folder: string;
  let browser: BrowserContext;
  beforeAll(async () => {
    folder = makeProject(bundler);
    // Each with a storage of its own: the next one's disk is another, although its address may be the same.
    browser = await launchChromium(join(folder, 'profile'), '--ignore-certificate-errors');
  }, 300_000);
  afterAll(() => browser?.close());

  test('builds the page, which runs where it is served by https', async () => {
    const built = build(folder, bundler);
    const server = new PageServer(makeIdentity(['127.0.0.1'], Date.now()));
    server.find = (path) => fileIn(built, path);
    const origin = await server.start();
    try {
      checkBackup(await backupFrom(`${origin}/index.html`, browser, bundler));
    } finally {
      await server.stop();
    }
  });

  const { serve, install, workerOptions } = bundler;
  if (serve) test('serves the page while it is being written', () => checkServed(serve), 120_000);
  if (workerOptions !== undefined)
    test('builds a worker of the page that opens the block layer', () => checkWorker(workerOptions));
  if (serve && !install) test.skipIf(!haveFirefox)('builds what runs in Firefox, too', checkFirefox);

  async function checkWorker(options: string): Promise<void> {
    if (options !== '') expect(readFileSync(join(root, 'host/library/README.md'), 'utf8')).toContain(options);
    const inside = join(folder, 'worker');
    mkdirSync(join(inside, 'public'), { recursive: true });
    const write = (name: string, text: string): void => writeFileSync(join(inside, name), text);
    write('vite.config.js', `export default { ${options} };`);
    write(
      'index.html',
      `<!doctype html><link rel="icon" href="data:,"><script type="module">
        const worker = new Worker(new URL('./emulator.js', import.meta.url), { type: 'module' });
        worker.onmessage = ({ data }) => { document.title = data; };
      </script>`,
    );
    write(
      'emulator.js',
      `import { openBlockyard } from 'blockyard/browser';
      const open = async () => {
        const yard = await openBlockyard();
        await yard.createImage('made.qcow2', { size: 1 << 20 });
        await yard.removeFile('made.qcow2');
        return 'opened';
      };
      open().catch(String).then((said) => postMessage(said));`,
    );
    const built = build(inside, bundler);
    const server = new PageServer();
    server.find = (path) => fileIn(built, path);
    const opened = await browser.newPage();
    await opened.goto(`${await server.start()}/index.html`);
    await vi.waitUntil(() => opened.title(), { timeout: 20_000 });
    expect(await opened.title()).toBe('opened');
    await opened.close();
    await server.stop();
  }

  async function checkServed(command: NonNullable<Bundler['serve']>): Promise<void> {
    const [program, args] = startOf(folder, command);
    const server = spawn(program, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      let said = '';
      server.stdout.on('data', (data) => {
        said += data;
      });
      // It writes in colours where continuous integration is told of by the environment.
      const addressIn = (text: string): string | undefined =>
        /http:\/\/[\d.]+:\d+\//.exec(stripVTControlCharacters(text))?.[0];
      const hasBegun = (): boolean => addressIn(said) !== undefined || server.exitCode !== null;
      await vi.waitUntil(hasBegun, { timeout: 30_000 }).catch(() => {});
      const url = addressIn(said);
      if (url === undefined) throw new Error(`It names no address, status ${server.exitCode}: ${said}`);
      checkBackup(await backupFrom(url, browser, bundler));
    } finally {
      // It keeps nothing that a gentler end could save, and waits for its connections when it is asked to end.
      if (server.kill('SIGKILL')) await once(server, 'exit');
    }
  }

  async function checkFirefox(): Promise<void> {
    const built = build(folder, bundler);
    const identity = makeIdentity(['127.0.0.1'], Date.now());
    const server = new ReportServer(identity);
    server.find = (path) => {
      const found = fileIn(built, path);
      return path.endsWith('.html') && found ? Buffer.concat([found, Buffer.from(visitor)]) : found;
    };
    const origin = await server.start();
    const downloads = join(folder, 'downloads');
    mkdirSync(downloads);
    const profile = join(folder, 'firefox');
    const close = openInFirefox(`${origin}/index.html`, profile, { trusted: identity.cert, downloads });
    try {
      const failed = server.whenReported.then((report) => {
        throw new Error(String(report));
      });
      checkBackup(await Promise.race([downloaded(join(downloads, 'hda.qcow2')), failed]));
    } finally {
      await close();
      await server.stop();
    }
  }
});
