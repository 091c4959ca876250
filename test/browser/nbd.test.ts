/**
 * Disks on NBD servers in a page, over WebSockets, in Chromium: a guest that writes goes on when the server has been killed and is
 * there again, and nothing is lost of what it was told is written.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proveOneInstant } from '../../host/emulator/guest/linked-records.ts';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { freePort } from '../support/free-port.ts';
import { PageServer } from '../support/page-server.ts';
import { recordDiskOf } from '../support/record-disk.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu } from '../support/tools.ts';

type Library = typeof import('../../host/library/index.ts');
declare const library: Library;
declare const V86: Parameters<Awaited<ReturnType<Library['openBlockyard']>>['start']>[0];

const scratch = scratchDirectory();
const root = resolve(import.meta.dirname, '../..');
const program = join(root, 'dist/blockyard.cjs');
const size = 16 << 20;
const kills = 2;

const pages = new PageServer();
let origin: string;
let browser: BrowserContext;
let port: number;
let daemon: ChildProcess | undefined;

beforeAll(async () => {
  if (!haveChromium) return;
  pages.find = (path) => {
    if (path === '/favicon.ico') return '';
    if (path === '/page.html')
      return `<script type="module">
        globalThis.V86 = (await import("/v86/libv86.mjs")).V86;
        globalThis.library = await import("/blockyard/index.js");
      </script>`;
    if (path === '/guest.bin') return readFileSync(join(root, 'build/guest.bin'));
    const [folder, name] = path.startsWith('/v86/')
      ? ['node_modules/v86/build', path.slice('/v86/'.length)]
      : ['dist/browser', path.replace('/blockyard/', '')];
    const file = join(root, folder, name);
    return existsSync(file) ? readFileSync(file) : undefined;
  };
  origin = await pages.start();
  browser = await launchChromium(scratch('profile'));
  port = await freePort();
  await createImages();
});

afterAll(async () => {
  await kill();
  await browser?.close();
  await pages.stop();
});

function exportArguments(image: string, options = ''): string[] {
  const place = `addr.type=inet,addr.host=127.0.0.1,addr.port=${port},path=/${image}`;
  return [
    ...['--blockdev', `qcow2,node-name=${image},file.driver=file,file.filename=${scratch(`${image}.qcow2`)}`],
    ...['--export', `nbd-ws,id=${image},node-name=${image},writable=on,${place}${options}`],
  ];
}

/** Serves the images `a` and `b` to our pages, and `closed` to none; settles when it listens. */
async function serve(): Promise<void> {
  const own = `,origins.0=${origin}`;
  const args = [...exportArguments('a', own), ...exportArguments('b', own), ...exportArguments('closed')];
  daemon = spawn(process.execPath, [program, 'storage-daemon', ...args], { stdio: 'inherit' });
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isThere = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (isThere) return;
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
}

async function kill(): Promise<void> {
  if (!daemon) return;
  const ended = once(daemon, 'exit');
  daemon.kill('SIGKILL');
  await ended;
  daemon = undefined;
}

async function createImages(): Promise<void> {
  for (const image of ['a', 'b', 'closed']) {
    const args = ['img', 'create', '-q', '-f', 'qcow2', scratch(`${image}.qcow2`), String(size)];
    await once(spawn(process.execPath, [program, ...args], { stdio: 'inherit' }), 'exit');
  }
}

async function open(): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`${origin}/page.html`);
  await page.waitForFunction('globalThis.library');
  return page;
}

const addressOf = (image: string): string => `ws://127.0.0.1:${port}/${image}`;

describe.skipIf(!haveChromium)('a page', () => {
  test('has a guest on two disks of a server that is killed while it writes, and nothing is lost', async () => {
    await serve();
    const page = await open();
    await page.evaluate(
      async ({ a, b }) => {
        const yard = await library.openBlockyard();
        const state = { yard, emulator: undefined as unknown, output: '', events: [] as string[] };
        Object.assign(globalThis, { state });
        yard.on('*', ({ event }) => state.events.push(event));
        const disk = async (node: string, url: string) => {
          const server = { type: 'ws', url };
          await yard.add({ driver: 'nbd', 'node-name': node, server, 'reconnect-delay': 60 });
          return yard.disk({ node });
        };
        const emulator = await yard.start(V86, {
          wasm_path: '/v86/v86.wasm',
          memory_size: 16 << 20,
          multiboot: { url: '/guest.bin' },
          hda: await disk('a', a),
          hdb: await disk('b', b),
          autostart: false,
        });
        state.emulator = emulator;
        emulator.add_listener('serial0-output-byte', (byte: number) => {
          state.output += String.fromCharCode(byte);
        });
      },
      { a: addressOf('a'), b: addressOf('b') },
    );
    const say = (line: string): Promise<unknown> =>
      page.evaluate(
        `state.emulator.serial_send_bytes(0, new TextEncoder().encode(${JSON.stringify(`${line}\r`)}))`,
      );
    /** Records on each disk, as the guest counts them. */
    const written = async (): Promise<number> => {
      await page.evaluate("state.output = ''");
      await say('status');
      const found = await page.waitForFunction('/(\\d+) records on each disk/.exec(state.output)?.[1]');
      return Number(await found.jsonValue());
    };
    const reach = async (count: number): Promise<number> => {
      for (;;) {
        const records = await written();
        if (records >= count) return records;
        await page.waitForTimeout(50);
      }
    };
    await say('start');
    let records = await reach(60);
    for (let at = 0; at < kills; at++) {
      await kill();
      // It waits for its disks, and answers nobody.
      await serve();
      records = await reach(records + 60);
    }
    await say('stop');
    records = await written();
    await page.evaluate("state.output = ''");
    await say('verify');
    const verdict = await page.waitForFunction('/(verified .*|MISTAKE.*)\\r/.exec(state.output)?.[1]');
    expect(await verdict.jsonValue()).toBe(`verified ${records} records on each disk, no mistake`);
    expect(await page.evaluate('state.events.filter((name) => /ERROR|STOP/.test(name))')).toEqual([]);
    await page.evaluate('state.yard.close()');
    await page.close();
    await kill();
    if (!haveQemu) return;
    const proof = await proveOneInstant([recordDiskOf(scratch('a.qcow2')), recordDiskOf(scratch('b.qcow2'))]);
    expect(proof).toEqual({ records: [records, records], violations: [] });
  });

  test('is told what may keep it from a server', async () => {
    await serve();
    const page = await open();
    const attempt = (url: string): Promise<string> =>
      page.evaluate(async (url) => {
        const yard = await library.openBlockyard();
        const server = { type: 'ws', url };
        const adding = yard.add({ driver: 'nbd', 'node-name': 'hda', server });
        const message = await adding.then(
          () => 'opened',
          (error: Error) => error.message,
        );
        await yard.close();
        return message;
      }, url);
    expect(await attempt(addressOf('a'))).toBe('opened');
    expect(await attempt(addressOf('closed'))).toContain(
      `Failed to connect to '${addressOf('closed')}': the server cannot be reached, does not let pages of ${origin} connect, or`,
    );
    await kill();
    expect(await attempt(addressOf('a'))).toContain('the server cannot be reached');
    await page.close();
  });
});
