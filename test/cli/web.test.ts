/** `blockyard web` as browsers and bad clients meet it. */
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../host/cli/web/main.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

/** A request as it is, without what `fetch` tidies. */
function raw(base: string, path: string, method = 'GET'): Promise<number> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, method }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the server of the page', () => {
  let server: WebServer;
  let base: string;

  beforeEach(async () => {
    for (const name of ['disk image.raw', 'secret.txt']) writeFileSync(scratch(name), content);
    server = await WebServer.start(scratch('disk image.raw'));
    base = server.base;
  });

  afterEach(async () => {
    expect(await server.stop()).toBe(0);
  });

  test('serves the page, its parts and what there is to choose', async () => {
    const page = await fetch(`${base}/`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html;charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    for (const path of ['/app.js', '/style.css', '/v86/libv86.mjs', '/v86/v86.wasm']) {
      expect([path, (await fetch(base + path)).status]).toEqual([path, 200]);
    }
    expect(await (await fetch(`${base}/offer.json`)).json()).toMatchObject({
      images: [{ name: 'disk image.raw', bytes: content.length }],
    });
  });

  test('serves images by ranges, and says when they have changed', async () => {
    const url = `${base}/images/disk%20image.raw`;
    const part = await fetch(url, { headers: { Range: 'bytes=100-199' } });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 100-199/5000']);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(content.subarray(100, 200));
    const before = part.headers.get('etag');
    writeFileSync(scratch('disk image.raw'), Buffer.concat([content, content]));
    const after = await fetch(url, { headers: { Range: 'bytes=1-1' } });
    expect(after.headers.get('etag')).not.toBe(before);
    expect(after.headers.get('content-range')).toBe('bytes 1-1/10000');
  });

  test('serves nothing else', async () => {
    for (const path of [
      '/images/secret.txt',
      '/images/../secret.txt',
      '/images/%2e%2e/secret.txt',
      '/images/',
      '/v86/../package.json',
      '/%ff',
      '/../../etc/passwd',
      '//',
    ]) {
      expect([path, await raw(base, path)]).toEqual([path, 404]);
    }
    expect(await raw(base, '/', 'POST')).toBe(405);
  });
});

test.each([
  [['--port', 'x'], "--port: 'x' is not a port"],
  [['--port'], "missing argument for option '--port'"],
  [['--zz'], "unrecognized option '--zz'"],
  [['/no/such/image'], "'/no/such/image' is not a file"],
  [['--bios', '/no/such/bios'], "'/no/such/bios' is not a file"],
])('%j is refused', async (argv, message) => {
  let errors = '';
  const terminal = { out: () => {}, error: (text: string) => void (errors += text) };
  expect(await main(argv, 'blockyard web', terminal)).toBe(1);
  expect(errors).toContain(message);
});
