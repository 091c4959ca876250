/** Why the block layer of a page does not start: `openBlockyard` of `blockyard/browser` as it is built, in Chromium. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
    const file = path.startsWith('/v86/')
      ? join(root, 'node_modules/v86/build', path.slice('/v86/'.length))
      : join(root, 'dist/browser', path.replace(/^\/blockyard\//, ''));
    return files.get(path) ?? (existsSync(file) ? readFileSync(file) : undefined);
  };
  origin = await server.start();
  browser = await launchChromium(scratch('profile'), '--host-resolver-rules=MAP blockyard.test 127.0.0.1');
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
async function attempt(options: object = {}, where = { browser, origin }): Promise<string> {
  const page = await where.browser.newPage();
  try {
    await page.goto(`${where.origin}/page.html`);
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

/** With the worker's file in place of its text. */
const fromFile = { workerUrl: '/blockyard/worker.js' };

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

  test('is given another script for its worker, which never answers, names the URL', async () => {
    files.set('/app/other.js', "postMessage('hello'); postMessage(null); onmessage = () => {}");
    const page = await browser.newPage();
    await page.clock.install();
    await page.goto(`${origin}/page.html`);
    const said = page.evaluate(() =>
      library.openBlockyard({ workerUrl: '/app/other.js' }).catch((error: Error) => error.message),
    );
    let isOver = false;
    void said.then(() => {
      isOver = true;
    });
    let seconds = 0;
    // What the page waits for in between, its own fetch, takes real time.
    for (; !isOver && seconds < 60; seconds++) await page.clock.runFor(1000);
    expect(await said).toBe(
      `The worker of the block layer does not start: ${origin}/app/other.js says nothing: it is not worker.js of this version of blockyard`,
    );
    expect(seconds).toBeGreaterThanOrEqual(20);
    await page.close();
  });

  test('has a file missing that the worker loads, names it', async () => {
    files.set('/blockyard/worker.js', "import('./absent.js').catch((error) => self.reportError(error))");
    expect(await attempt(fromFile)).toMatch(
      /^The worker of the block layer does not start: .*http:\/\/.*\/absent\.js/,
    );
  });

  test('may not compile WebAssembly, names the word that the policy lacks', async () => {
    const words =
      /^The Content-Security-Policy .* forbids WebAssembly: script-src needs 'wasm-unsafe-eval' \(/;
    send({ 'content-security-policy': "default-src 'self'; worker-src 'self' blob:" });
    expect(await attempt(fromFile)).toMatch(words);
    expect(await attempt()).toMatch(words);
    send({
      'content-security-policy':
        "default-src 'self'; worker-src 'self' blob:; script-src 'self' 'wasm-unsafe-eval'",
    });
    expect(await attempt(fromFile)).toBe('opened');
    expect(await attempt()).toBe('opened');
  });

  test('may have no worker, names the directive', async () => {
    send({ 'content-security-policy': "worker-src 'none'" });
    expect(await attempt()).toBe(
      "The worker of the block layer does not start: the page's Content-Security-Policy forbids workers that are made of texts: worker-src needs 'blob:', or openBlockyard a workerUrl",
    );
    expect(await attempt(fromFile)).toBe(
      `The worker of the block layer does not start: the page's Content-Security-Policy forbids ${origin}/blockyard/worker.js: worker-src needs 'self'`,
    );
  });

  test('is in an isolated page and its worker is not, names the header', async () => {
    send(isolating, /page\.html/);
    expect(await attempt()).toBe('opened');
    expect(await attempt(fromFile)).toMatch(
      /\/blockyard\/worker\.js cannot be run: .* Cross-Origin-Embedder-Policy, this file needs it, too$/,
    );
    send(isolating);
    expect(await attempt(fromFile)).toBe('opened');
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

describe.skipIf(!haveChromium)('files of a page', () => {
  test('are not there without https, which is said', async () => {
    const insecure = { browser, origin: origin.replace('127.0.0.1', 'blockyard.test') };
    expect(await attempt({}, insecure)).toBe(
      'This page has no file system of its own: it must come over https or from localhost',
    );
  });

  test('are not there where the site may not store data, which is said, and nothing else fails', async () => {
    const profile = scratch('refusing');
    mkdirSync(join(profile, 'Default'), { recursive: true });
    writeFileSync(
      join(profile, 'Default/Preferences'),
      JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
    );
    const refusing = await launchChromium(profile);
    expect(await attempt({}, { browser: refusing, origin })).toBe(
      'The browser keeps no files for this page: it is in a private window, or its site may not store data',
    );
    files.set('/disk.img', 'x'.repeat(2048));
    const page = await refusing.newPage();
    await page.goto(`${origin}/page.html`);
    const results = await page.evaluate(async () => {
      const yard = await library.openBlockyard();
      const url = new URL('/disk.img', location.href).href;
      await yard.add({ driver: 'http', 'node-name': 'disk', 'read-only': true, url });
      const { disk } = await yard.disk({ node: 'disk', kind: 'cdrom' });
      const into = new Uint8Array(512);
      await disk.read(0, into);
      await yard.close();
      return [into[511], await library.keepFiles()];
    });
    expect(results).toEqual(['x'.charCodeAt(0), false]);
    await refusing.close();
  });
});

/** What becomes of `yard.start` with these options of v86: `started`, or what it says. `%` in them is the page's origin. */
async function startV86(options: Readonly<Record<string, unknown>>): Promise<string> {
  const page = await browser.newPage();
  try {
    await page.goto(`${origin}/page.html`);
    const given = JSON.parse(JSON.stringify(options).replaceAll('%', origin)) as object;
    return await page.evaluate(async (own) => {
      const load = new Function('url', 'return import(url)') as (
        url: string,
      ) => Promise<{ V86: import('../../host/library/index.ts').V86Constructor }>;
      const { V86 } = await load('/v86/libv86.mjs');
      const yard = await library.openBlockyard();
      try {
        const quiet = { disable_keyboard: true, disable_mouse: true, disable_speaker: true };
        const emulator = await yard.start(V86, { ...quiet, memory_size: 16 << 20, ...own });
        await yard.detach();
        await emulator.destroy();
        return 'started';
      } catch (error) {
        return (error as Error).message;
      } finally {
        await yard.close();
      }
    }, given);
  } finally {
    await page.close();
  }
}

const bios = 'A BIOS'.padEnd(65536, '.');
const wasm_path = '/v86/v86.wasm';

describe.skipIf(!haveChromium)('yard.start', () => {
  test('takes firmware by its address and as bytes', async () => {
    files.set('/firmware/bios.bin', bios);
    expect(await startV86({ wasm_path, bios: '/firmware/bios.bin' })).toBe('started');
    expect(await startV86({ wasm_path, bios: { url: '%/firmware/bios.bin' } })).toBe('started');
  });

  test('says in words that there is no firmware', async () => {
    expect(await startV86({ wasm_path })).toMatch(
      /^v86 needs firmware, and its package has none: name SeaBIOS/,
    );
  });

  test('rejects a first state that is damaged, and says so', async () => {
    files.set('/saved.state', 'no state'.padEnd(1000));
    expect(await startV86({ wasm_path, initial_state: '/saved.state' })).toMatch(
      /^v86 cannot start from its 'initial_state', which is damaged or of another version: Invalid header: /,
    );
  });

  test('rejects when a file is missing, and names it', async () => {
    expect(await startV86({ wasm_path, bios: { url: '/firmware/bios.bin' } })).toBe(
      `v86 cannot start without its 'bios': the server answers 404 to ${origin}/firmware/bios.bin`,
    );
    files.set('/firmware/bios.html', '<title>not found</title>');
    expect(await startV86({ wasm_path, bios: '/firmware/bios.html' })).toBe(
      `v86 cannot start without its 'bios': the server has a web page at ${origin}/firmware/bios.html`,
    );
    files.set('/firmware/bios.bin', bios);
    expect(await startV86({ bios: '/firmware/bios.bin' })).toBe(
      `v86 cannot start without its 'wasm_path': the server answers 404 to ${origin}/build/v86.wasm`,
    );
  });

  test('rejects when a server does not let the page read a file, and says what that may be', async () => {
    const other = new PageServer();
    other.find = () => bios;
    const elsewhere = await other.start();
    const url = `${elsewhere}/bios.bin`;
    expect(await startV86({ wasm_path, bios: url })).toBe(
      `v86 cannot start without its 'bios': ${url}: Failed to fetch: the server cannot be reached, does not let pages of ${origin} read it (CORS), or this page's Content-Security-Policy does not (connect-src)`,
    );
    other.headersOf = () => ({ 'access-control-allow-origin': '*' });
    expect(await startV86({ wasm_path, bios: url })).toBe('started');
    await other.stop();
  });

  test('rejects when what is there for v86.wasm is not what this v86 needs', async () => {
    files.set('/firmware/bios.bin', bios);
    files.set('/v86/other.wasm', '\0asm\x01\0\0\0');
    const other = { wasm_path: '/v86/other.wasm', bios: '/firmware/bios.bin' };
    expect(await startV86(other)).toBe(
      "v86 cannot start without its 'wasm_path': /v86/other.wasm is another program",
    );
    files.set('/v86/other.wasm', 'broken');
    expect(await startV86(other)).toMatch(
      /'wasm_path': This is no WebAssembly that this browser knows \(.*magic word/,
    );
  });
});
