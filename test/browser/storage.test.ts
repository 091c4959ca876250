/** The block layer on a browser's own storage: in Chromium, in a dedicated worker, on a profile that is kept. */
import { writeFileSync } from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { keepFiles } from '../../host/platform/browser/keep-files.ts';
import { codecs } from '../../host/platform/node/codecs.ts';
import { Prng } from '../../host/platform/sim/prng.ts';
import { diskBytes } from '../conformance/checks.ts';
import { haveChromium, launchChromium } from '../support/chromium.ts';
import { PageServer } from '../support/page-server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { bundleWorker, load, pageText, run } from '../support/storage-page.ts';

const scratch = scratchDirectory();
const server = new PageServer();
let origin: string;
let browser: BrowserContext;
let worker: string;
/** What a web server has: nothing in its first half. */
const served = new Uint8Array(diskBytes).fill(7, diskBytes / 2);

const opfs = (filename: string) => ({ driver: 'opfs', filename });

beforeAll(async () => {
  if (!haveChromium) return;
  worker = await bundleWorker();
  server.find = (path) =>
    ({ '/storage.html': pageText, '/storage-worker.js': worker, '/disk.img': served })[path];
  origin = await server.start();
  browser = await launchChromium(scratch('profile'));
});

afterAll(async () => {
  await browser?.close();
  await server.stop();
});

const pages: Page[] = [];
const complaints: string[] = [];

async function openPage(): Promise<Page> {
  const page = await browser.newPage();
  pages.push(page);
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  return load(page, origin);
}

afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
  expect(complaints.splice(0)).toEqual([]);
});

describe.skipIf(!haveChromium)('disks in a browser', () => {
  const stores = true;
  const stacks = {
    memory: { stores, options: { driver: 'memory', size: diskBytes } },
    opfs: { stores, options: opfs('c/raw'), file: 'c/raw', format: 'raw' },
    'qcow2 on opfs': {
      stores,
      options: { driver: 'qcow2', file: opfs('c/qcow2') },
      file: 'c/qcow2',
      format: 'qcow2',
    },
  };
  for (const [name, stack] of Object.entries(stacks)) {
    test(`${name}: holds what holds for every disk`, async () => {
      await run(await openPage(), 'conforms', stack);
    });
  }

  test('http: holds what holds for every disk that is only read', async () => {
    const options = { driver: 'http', url: `${origin}/disk.img`, 'read-only': true };
    await run(await openPage(), 'conforms', { stores, writable: 'never', options });
  });

  test('blob: holds what holds for every disk that is only read', async () => {
    const page = await openPage();
    await page.evaluate(
      `call('registerBlob', { name: 'b', blob: new Blob([new Uint8Array(${diskBytes}).fill(7, 5000)]) })`,
    );
    const options = { driver: 'blob', filename: 'b', 'read-only': true };
    await run(page, 'conforms', { stores, writable: 'never', options });
    await run(page, 'open', { name: 'b', options });
    expect(await run(page, 'values', { name: 'b', offset: 4999, bytes: 2 })).toEqual([0, 7]);
  });

  test('blob: is not written to, and must be registered', async () => {
    const page = await openPage();
    const attempt = (filename: string) =>
      run(page, 'open', { name: 'b', options: { driver: 'blob', filename } });
    await expect(attempt('nothing')).rejects.toThrow(
      "ENOENT Could not open 'nothing': No Blob of this name is registered",
    );
    await page.evaluate(`call('registerBlob', { name: 'b', blob: new Blob(['x']) })`);
    await expect(attempt('b')).rejects.toThrow("EACCES 'blob' driver can only read 'b'");
  });

  test('blob: fails reads with the reason when the file was changed', async () => {
    const page = await openPage();
    const path = scratch('chosen.img');
    writeFileSync(path, new Uint8Array(100_000).fill(5));
    await page.setInputFiles('input', path);
    await page.evaluate(
      `call('registerBlob', { name: 'f', blob: document.querySelector('input').files[0] })`,
    );
    await run(page, 'open', { name: 'f', options: { driver: 'blob', filename: 'f', 'read-only': true } });
    expect(await run(page, 'values', { name: 'f', offset: 512, bytes: 512 })).toEqual([5]);
    writeFileSync(path, new Uint8Array(120_000).fill(6));
    await expect(run(page, 'values', { name: 'f', offset: 1024, bytes: 512 })).rejects.toThrow(
      "EIO 'f' cannot be read any more: the file was changed, moved or deleted after it was chosen",
    );
  });
});

describe.skipIf(!haveChromium)('files in a browser', () => {
  test('are found by their paths, made with the directories above them, and removed', async () => {
    const page = await openPage();
    await run(page, 'openFile', { path: '/deep/er/file', create: 'exclusive' });
    expect(await run(page, 'stat', 'deep/./er/../er/file')).toEqual({ type: 'file', size: 0 });
    expect(await run(page, 'stat', 'deep/er')).toMatchObject({ type: 'directory' });
    await expect(run(page, 'openFile', { path: 'deep/er/file', create: 'exclusive' })).rejects.toThrow(
      'EEXIST',
    );
    await expect(run(page, 'openFile', { path: 'deep/er' })).rejects.toThrow('EISDIR');
    await expect(run(page, 'openFile', { path: 'deep/er/file/below' })).rejects.toThrow('ENOTDIR');
    await expect(run(page, 'openFile', { path: 'deep/none' })).rejects.toThrow('ENOENT');
    await expect(run(page, 'unlink', 'deep/er')).rejects.toThrow('EISDIR');
    await run(page, 'unlink', 'deep/er/file');
    await expect(run(page, 'stat', 'deep/er/file')).rejects.toThrow('ENOENT');
  });

  test('are written by one tab only, and read by any number', async () => {
    const [first, second] = [await openPage(), await openPage()];
    const disk = { name: 'd', options: { driver: 'raw', file: opfs('locked') } };
    const reader = { ...disk, options: { ...disk.options, 'read-only': true } };
    await run(first, 'create', { filename: 'locked', format: 'raw', size: 65_536 });
    await run(first, 'open', disk);
    const refused = (mode: string) =>
      `EAGAIN Could not open 'locked': Failed to get ${mode}"write" lock: it is open in another tab or worker of this browser`;
    await expect(run(second, 'open', disk)).rejects.toThrow(refused(''));
    await expect(run(second, 'open', reader)).rejects.toThrow(refused('shared '));
    await run(first, 'close', 'd');

    await run(first, 'open', reader);
    await run(second, 'open', reader);
    expect(await run(second, 'values', { name: 'd', offset: 0, bytes: 512 })).toEqual([0]);
    await expect(run(first, 'setReadOnly', { name: 'd', readOnly: false })).rejects.toThrow(
      'Failed to get "write" lock',
    );
    await run(second, 'close', 'd');
    await run(first, 'setReadOnly', { name: 'd', readOnly: false });
    await expect(run(second, 'open', reader)).rejects.toThrow(refused('shared '));
    await run(first, 'setReadOnly', { name: 'd', readOnly: true });
    await run(second, 'open', reader);
    expect(await run(second, 'values', { name: 'd', offset: 0, bytes: 512 })).toEqual([0]);
  });

  test('are locked among the nodes of one worker as among processes', async () => {
    const page = await openPage();
    const options = { driver: 'raw', file: opfs('twice') };
    await run(page, 'create', { filename: 'twice', format: 'raw', size: 65_536 });
    await run(page, 'open', { name: 'a', options });
    await expect(run(page, 'open', { name: 'b', options })).rejects.toThrow(
      'EAGAIN Failed to get "write" lock | Is another process using the image [twice]?',
    );
    await run(page, 'write', { name: 'a', offset: 0, bytes: 512, value: 1 });
    await run(page, 'close', 'a');
    await run(page, 'open', { name: 'b', options });
    expect(await run(page, 'values', { name: 'b', offset: 0, bytes: 512 })).toEqual([1]);
  });

  test('are there after a reload, and free for the new page', async () => {
    const page = await openPage();
    const disk = { name: 'd', options: { driver: 'qcow2', file: opfs('kept.qcow2') } };
    await run(page, 'create', { filename: 'kept.qcow2', format: 'qcow2', size: 1 << 20 });
    await run(page, 'open', disk);
    await run(page, 'write', { name: 'd', offset: 65_536, bytes: 4096, value: 9 });
    for (let times = 0; times < 5; times++) {
      await load(page, origin);
      await run(page, 'open', disk);
      expect(await run(page, 'values', { name: 'd', offset: 65_536, bytes: 4096 })).toEqual([9]);
    }
  });

  test('are kept when the disk gets full, if the browser agrees', async () => {
    const page = await openPage();
    expect(await page.evaluate(() => navigator.storage.persisted())).toBe(false);
    const cdp = await browser.newCDPSession(page);
    await cdp.send('Browser.grantPermissions', { origin, permissions: ['durableStorage'] });
    expect(await page.evaluate(keepFiles)).toBe(true);
    expect(await page.evaluate(() => navigator.storage.persisted())).toBe(true);
  });

  test('grow no further than the quota, and no write is done by half', async () => {
    const page = await openPage();
    const disk = { name: 'd', options: { driver: 'raw', file: opfs('full') } };
    await run(page, 'create', { filename: 'full', format: 'raw', size: 65_536 });
    await run(page, 'open', disk);
    const used = await page.evaluate(async () => (await navigator.storage.estimate()).usage!);
    const cdp = await browser.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: used + (8 << 20) });
    const write = (offset: number, bytes: number) =>
      run(page, 'write', { name: 'd', offset, bytes, value: 4 });
    await expect(run(page, 'resize', { name: 'd', size: 64 << 20 })).rejects.toThrow('ENOSPC');
    expect(await run(page, 'length', 'd')).toBe(65_536);
    expect(await run(page, 'stat', 'full')).toMatchObject({ size: 65_536 });
    await write(0, 65_536);
    await run(page, 'resize', { name: 'd', size: 4 << 20 });
    await expect(run(page, 'resize', { name: 'd', size: 32 << 20 })).rejects.toThrow('ENOSPC');
    expect(await run(page, 'values', { name: 'd', offset: 0, bytes: 65_536 })).toEqual([4]);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await run(page, 'resize', { name: 'd', size: 32 << 20 });
    await run(page, 'close', 'd');
    await run(page, 'unlink', 'full');
  });
});

describe.skipIf(!haveChromium)('what else a browser gives', () => {
  const cluster = Buffer.alloc(65_536);
  const random = new Prng(1);
  for (let i = 0; i < cluster.length; i += 1 + random.below(20)) cluster[i] = random.below(8);

  for (const codec of ['deflate', 'zstd'] as const) {
    test(`${codec}: reads what Node compressed, and Node reads what it compressed`, async () => {
      const page = await openPage();
      const fromNode = await codecs[codec].compress(cluster, cluster.length);
      const padded = [...fromNode!, ...new Uint8Array(300)];
      expect(await run(page, 'decompress', { codec, input: padded, bytes: cluster.length })).toEqual([
        ...cluster,
      ]);
      const input = [...fromNode!.subarray(0, 1000)];
      await expect(run(page, 'decompress', { codec, input, bytes: cluster.length })).rejects.toThrow('EIO');
      const text = `call('compress', { codec: '${codec}', input: Uint8Array.from(atob('${cluster.toString('base64')}'), (c) => c.charCodeAt(0)) })`;
      const fromPage = Uint8Array.from((await page.evaluate(text)) as number[]);
      const output = new Uint8Array(cluster.length);
      await codecs[codec].decompress(fromPage, output);
      expect(Buffer.compare(output, cluster)).toBe(0);
    });
  }

  test('deflate: reads windows of 32 KiB and streams that go on after the cluster', async () => {
    const page = await openPage();
    const input = [...deflateRawSync(Buffer.concat([cluster, cluster]), { windowBits: 15 })];
    expect(inflateRawSync(Uint8Array.from(input)).length).toBe(2 * cluster.length);
    expect(await run(page, 'decompress', { codec: 'deflate', input, bytes: cluster.length })).toEqual([
      ...cluster,
    ]);
  });

  test('timers ring in their order, never early, and not when they were cancelled', async () => {
    expect(await run(await openPage(), 'timers')).toEqual({ rung: [10, 30, 0.1], early: [] });
  });
});
