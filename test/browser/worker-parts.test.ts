/** How a page gets its worker, made of a text or from a file, and the parts that the worker loads when it needs them. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const built = resolve(import.meta.dirname, '../../dist/browser');
const server = new PageServer();
let origin: string;
let browser: BrowserContext;

type Library = typeof import('../../host/library/index.ts');
declare const library: Library;
declare const yard: Awaited<ReturnType<Library['openBlockyard']>>;

const page = `<!doctype html><title>test</title><script type="module" src="/main.js"></script>`;
const main = `globalThis.library = await import('/blockyard/index.js'); document.title = 'ready';`;
const asked: string[] = [];

server.find = (path) => {
  asked.push(path);
  if (path === '/page.html') return page;
  if (path === '/main.js') return main;
  const file = path.startsWith('/blockyard/') && join(built, path.slice('/blockyard/'.length));
  return file && existsSync(file) ? readFileSync(file) : undefined;
};

beforeAll(async () => {
  if (!haveChromium) return;
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

async function open(): Promise<Page> {
  const opened = await browser.newPage();
  await opened.goto(`${origin}/page.html`);
  await expect.poll(() => opened.title()).toBe('ready');
  asked.length = 0;
  return opened;
}

/** Has clusters compressed and read again, images resized, and all commands described, with a library of its own. */
async function useAllParts(opened: Page, workerUrl: string | undefined): Promise<number[]> {
  return opened.evaluate(async (workerUrl) => {
    const yard = await library.openBlockyard(workerUrl === undefined ? {} : { workerUrl });
    const found: number[] = [];
    for (const compression of ['zlib', 'zstd']) {
      const file = { driver: 'memory', size: 1 << 20 };
      await yard.add({ ...file, 'node-name': `${compression}-file` });
      const format = { driver: 'qcow2', file: `${compression}-file`, size: 1 << 20 };
      const job = `create-${compression}`;
      const created = new Promise<void>((done) => {
        yard.on('JOB_STATUS_CHANGE', ({ data }) => {
          if (data?.['id'] === job && data['status'] === 'concluded') done();
        });
      });
      await yard.qmp('blockdev-create', {
        'job-id': job,
        options: { ...format, 'compression-type': compression },
      });
      await created;
      const image = { driver: 'qcow2', 'node-name': `${compression}-image`, file: `${compression}-file` };
      await yard.add(image);
      await yard.qmp('block_resize', { 'node-name': `${compression}-image`, size: 2 << 20 });
      await yard.add({ driver: 'compress', 'node-name': compression, file: `${compression}-image` });
      const { disk } = await yard.disk({ node: compression, id: `disk-${compression}`, cacheBytes: 0 });
      await disk.write(0, new Uint8Array(65536).fill(7));
      const content = new Uint8Array(512);
      await disk.read(4096, content);
      found.push(content[0] ?? -1);
    }
    const schema = (await yard.qmp('query-qmp-schema')) as { name: string }[];
    if (!schema.some(({ name }) => name === 'block-stream')) found.push(-1);
    await yard.close();
    return found;
  }, workerUrl);
}

/** Opens a library as `yard`, has a disk on an overlay written to, and backed up while it is. */
async function backUp(opened: Page, workerUrl: string | undefined): Promise<void> {
  await opened.evaluate(async (workerUrl) => {
    const yard = await library.openBlockyard(workerUrl === undefined ? {} : { workerUrl });
    Object.assign(globalThis, { yard });
    await yard.createImage('top.qcow2', { size: 1 << 20 });
    await yard.add({ driver: 'memory', 'node-name': 'base', size: 1 << 20 });
    const file = { driver: 'opfs', filename: 'top.qcow2' };
    await yard.add({ driver: 'qcow2', 'node-name': 'top', file, backing: 'base' });
    const { disk } = await yard.disk({ node: 'top', id: 'hda', cacheBytes: 0 });
    await disk.write(0, new Uint8Array(65536).fill(7));
    const backup = await yard.backup({ disks: { top: { target: 'copy.qcow2' } } });
    await disk.write(0, new Uint8Array(65536).fill(8));
    await backup.done;
  }, workerUrl);
}

/** Has the layers of that disk brought into one and that one copied to another, with nothing below it to stream; gives how each job ended. */
async function moveLayers(opened: Page): Promise<string[]> {
  return opened.evaluate(async () => {
    const run = async (command: string, args: object): Promise<string> => {
      const end = new Promise<string>((resolve) => {
        yard.on('*', ({ event, data }) => {
          if (data?.['device'] !== command) return;
          if (event === 'BLOCK_JOB_READY') void yard.qmp('block-job-complete', { device: command });
          if (event === 'BLOCK_JOB_COMPLETED') resolve(`${data['type']}: ${data['error'] ?? 'done'}`);
        });
      });
      await yard.qmp(command, { 'job-id': command, ...args });
      return end;
    };
    await yard.add({ driver: 'memory', 'node-name': 'copy', size: 1 << 20 });
    const ends = [await run('block-commit', { device: 'top' })];
    await yard.remove('top');
    ends.push(await run('blockdev-mirror', { device: 'base', target: 'copy', sync: 'full' }));
    ends.push(await run('block-stream', { device: 'copy' }));
    for (const file of ['top.qcow2', 'copy.qcow2']) await yard.removeFile(file);
    await yard.close();
    return ends;
  });
}

const partsAsked = (): string[] => asked.filter((path) => path.startsWith('/blockyard/')).sort();

describe.skipIf(!haveChromium)('the worker', () => {
  test('is made of a text, and asks for each part when it is first needed, once', async () => {
    const opened = await open();
    expect(await useAllParts(opened, undefined)).toEqual([7, 7]);
    expect(partsAsked()).toEqual([
      '/blockyard/parts/deflate.js',
      '/blockyard/parts/introspect.js',
      '/blockyard/parts/on-demand.js',
      '/blockyard/parts/worker.js',
      '/blockyard/parts/zstd.js',
    ]);
    await opened.close();
  });

  test('is one file where a page says so, with everything but zstd', async () => {
    const opened = await open();
    expect(await useAllParts(opened, '/blockyard/worker.js')).toEqual([7, 7]);
    expect(partsAsked()).toEqual(['/blockyard/parts/zstd.js', '/blockyard/worker.js']);
    await opened.close();
  });

  test.each([
    { way: 'of a text', workerUrl: undefined, first: ['parts/worker.js'], more: ['parts/copying-jobs.js'] },
    { way: 'of one file', workerUrl: '/blockyard/worker.js', first: ['worker.js'], more: [] },
  ])('made $way asks for what copies disks when it is first needed, once', async (asksFor) => {
    const { workerUrl, first, more } = asksFor;
    const opened = await open();
    await backUp(opened, workerUrl);
    expect(partsAsked()).toEqual([...more, ...first].map((name) => `/blockyard/${name}`));
    expect(await moveLayers(opened)).toEqual(['commit: done', 'mirror: done', 'stream: done']);
    expect(partsAsked()).toEqual([...more, ...first].map((name) => `/blockyard/${name}`));
    await opened.close();
  });

  test('refuses what needs a part that is not to be had, and goes on', async () => {
    const opened = await open();
    const whole = server.find;
    server.find = (path) => (path.endsWith('/copying-jobs.js') ? undefined : whole(path));
    try {
      const answers = await opened.evaluate(async () => {
        const yard = await library.openBlockyard();
        const told = await yard.qmp('block-stream', { device: 'hda' }).catch(String);
        const { status } = (await yard.qmp('query-status')) as { status: string };
        await yard.close();
        return [String(told), status];
      });
      expect(answers).toEqual([
        expect.stringMatching(
          /^QmpError: Could not load part 'copying-jobs' of the block layer: .*copying-jobs\.js/,
        ),
        'running',
      ]);
    } finally {
      server.find = whole;
    }
    await opened.close();
  });

  test('starts from its file in a page that allows no workers and scripts but from its own server', async () => {
    server.headersOf = () => ({
      'content-security-policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
    });
    try {
      const opened = await open();
      const start = (workerUrl: string | undefined): Promise<string> =>
        opened.evaluate(async (workerUrl) => {
          try {
            const yard = await library.openBlockyard(workerUrl === undefined ? {} : { workerUrl });
            const { status } = (await yard.qmp('query-status')) as { status: string };
            await yard.close();
            return status;
          } catch (error) {
            return String(error);
          }
        }, workerUrl);
      expect(await start('/blockyard/worker.js')).toBe('running');
      expect(await start(undefined)).toMatch(
        /does not start: .*Content-Security-Policy.*worker-src.*workerUrl/,
      );
      await opened.close();
    } finally {
      server.headersOf = () => ({});
    }
  });
});
