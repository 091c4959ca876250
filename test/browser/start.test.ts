/** Why the block layer of a page does not start: `openBlockyard` of `blockyard/browser` as it is built, in Chromium. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BrowserContext } from 'playwright';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const isolating = {
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-opener-policy': 'same-origin',
};

const server = new PageServer();
let origin: string;
let browser: BrowserContext;
/** What is served in place of a file, or in addition to those that there are. */
const files = new Map<string, string>();

beforeAll(async () => {
  if (!haveChromium) return;
  server.find = (path) => {
    if (path === '/page.html') return '<title>test</title><script type="module" src="/load.js"></script>';
    if (path === '/load.js')
      return 'import * as library from "/blockyard/index.js"; globalThis.library = library';
    const file = join(root, 'dist/browser', path.replace(/^\/blockyard\//, ''));
    return files.get(path) ?? (existsSync(file) ? readFileSync(file) : undefined);
  };
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

afterEach(() => {
  server.headersOf = () => ({});
  files.clear();
});

/** The library as the page has it. */
declare const library: typeof import('../../host/library/index.ts');

/** What becomes of `openBlockyard` in a page, called with these options: `opened`, or what it says. */
async function attempt(options: object = {}): Promise<string> {
  const page = await browser.newPage();
  try {
    await page.goto(`${origin}/page.html`);
    return await page.evaluate(async (given) => {
      try {
        const yard = await library.openBlockyard(given);
        // The core is needed for this.
        await yard.createImage('start.qcow2', { size: 1 << 20 });
        await yard.removeFile('start.qcow2');
        await yard.close();
        return 'opened';
      } catch (error) {
        return (error as Error).message;
      }
    }, options);
  } finally {
    await page.close();
  }
}

/** `header`: of the page, and of all that it loads unless `only` says of what. */
function send(header: Readonly<Record<string, string>>, only = /./): void {
  server.headersOf = (path) => (only.test(path) ? header : {});
}

describe.skipIf(!haveChromium)('openBlockyard, where the block layer', () => {
  test('starts, does so', async () => {
    expect(await attempt()).toBe('opened');
  });

  test('has no file for its worker, names the URL', async () => {
    expect(await attempt({ workerUrl: '/elsewhere/worker.js' })).toBe(
      `The worker of the block layer does not start: the server answers 404 to ${origin}/elsewhere/worker.js`,
    );
  });

  test('is given a page for a worker, as by servers that have one page for all addresses, says so', async () => {
    files.set('/app/worker.html', '<title>not found</title>');
    expect(await attempt({ workerUrl: '/app/worker.html' })).toBe(
      `The worker of the block layer does not start: the server says that ${origin}/app/worker.html is text/html, not JavaScript`,
    );
  });

  test('has its worker on another origin, says where it must be', async () => {
    expect(await attempt({ workerUrl: 'http://localhost:1/worker.js' })).toMatch(
      /^The worker of the block layer must be of the page's own origin: .*http:\/\/localhost:1\/worker\.js/,
    );
  });

  test('has a file missing that the worker loads, names it', async () => {
    files.set('/blockyard/worker.js', "import('./absent.js').catch((error) => self.reportError(error))");
    expect(await attempt()).toMatch(
      /^The worker of the block layer does not start: .*http:\/\/.*\/absent\.js/,
    );
  });

  test('may not compile WebAssembly, names the word that the policy lacks', async () => {
    send({ 'content-security-policy': "default-src 'self'" });
    expect(await attempt()).toMatch(
      /^The Content-Security-Policy .* forbids WebAssembly: script-src needs 'wasm-unsafe-eval' \(/,
    );
    send({ 'content-security-policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'" });
    expect(await attempt()).toBe('opened');
  });

  test('may have no worker, names the directive', async () => {
    send({ 'content-security-policy': "worker-src 'none'" });
    expect(await attempt()).toBe(
      `The worker of the block layer does not start: the page's Content-Security-Policy forbids ${origin}/blockyard/worker.js: worker-src needs 'self'`,
    );
  });

  test('is in an isolated page and its worker is not, names the header', async () => {
    send(isolating, /page\.html/);
    expect(await attempt()).toMatch(
      /\/blockyard\/worker\.js cannot be run: .* Cross-Origin-Embedder-Policy, this file needs it, too$/,
    );
    send(isolating);
    expect(await attempt()).toBe('opened');
  });

  test('is opened by a worker of the page, works', async () => {
    files.set(
      '/blockyard/emulator.js',
      `import { openBlockyard } from '/blockyard/index.js';
      try {
        const yard = await openBlockyard();
        await yard.createImage('in-worker.img', { size: 1 << 20, format: 'raw' });
        await yard.add({ driver: 'opfs', 'node-name': 'disk', filename: 'in-worker.img' });
        const disk = await yard.disk({ node: 'disk' });
        await disk.disk.write(0, new Uint8Array(512).fill(7));
        const into = new Uint8Array(512);
        await disk.disk.read(0, into);
        await yard.close();
        postMessage(into[511]);
      } catch (error) {
        postMessage(String(error));
      }`,
    );
    const page = await browser.newPage();
    await page.goto(`${origin}/page.html`);
    const answer = await page.evaluate(async () => {
      const worker = new Worker('/blockyard/emulator.js', { type: 'module' });
      return new Promise((answered) => {
        worker.onmessage = ({ data }) => answered(data);
      });
    });
    await page.close();
    expect(answer).toBe(7);
  });
});
