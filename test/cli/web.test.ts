/** `blockyard web` as browsers and bad clients meet it. */
import { writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../host/cli/web/main.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { http } from '../../host/protocols/http/driver.ts';
import { imageUrl, machineName } from '../../host/web/image-names.ts';
import { openDriver } from '../support/open-driver.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { receiveAll, sendRaw, WebClient } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

describe('the server of the page', () => {
  let server: WebServer;
  let base: string;
  let client: WebClient;

  beforeEach(async () => {
    for (const name of ['disk image.raw', 'secret.txt']) writeFileSync(scratch(name), content);
    server = await WebServer.start(scratch('disk image.raw'));
    base = server.base;
    client = new WebClient(base);
  });

  afterEach(async () => {
    client.close();
    expect(await server.stop()).toBe(0);
  });

  test('serves the page, its parts and what there is to choose', async () => {
    const page = await fetch(`${base}/`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html;charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
    const parts = {
      '/app.js': 'text/javascript;charset=utf-8',
      '/style.css': 'text/css;charset=utf-8',
      '/browser/index.js': 'text/javascript;charset=utf-8',
      '/v86/libv86.mjs': 'text/javascript;charset=utf-8',
      '/v86/v86.wasm': 'application/wasm',
    };
    for (const [path, type] of Object.entries(parts)) {
      const { status, headers } = await client.ask(path, {}, 'HEAD');
      expect([path, status, headers['content-type']]).toEqual([path, 200, type]);
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

  test('has its page asked for again each time, and sends it when it has changed', async () => {
    const { headers } = await client.ask('/app.js');
    expect(headers['cache-control']).toBe('no-cache');
    const again = await client.ask('/app.js', { 'if-none-match': headers.etag });
    expect([again.status, again.body.length]).toEqual([304, 0]);
    expect((await client.ask('/app.js', { 'if-none-match': '"other"' })).status).toBe(200);
  });

  test('lets the block layer read an image, and notice that it was written', async () => {
    const image = scratch('disk image.raw');
    const bytes = 4 << 20;
    writeFileSync(image, Buffer.alloc(bytes, 1));
    const url = imageUrl('disk image.raw', `${base}/`);
    const { driver } = await openDriver(http, nodePlatform, { url }, { readOnly: true });
    const buffer = new Uint8Array(512);
    await driver.read!(100, buffer);
    expect(new Set(buffer)).toEqual(new Set([1]));
    writeFileSync(image, Buffer.alloc(bytes, 2));
    await expect(driver.read!(bytes - 512, buffer)).rejects.toThrow('The file on the server has changed');
    await driver.close();
  });

  test('serves nothing else', async () => {
    for (const path of [
      '/images/secret.txt',
      '/images/../secret.txt',
      '/images/%2e%2e/secret.txt',
      '/images/..%2fsecret.txt',
      '/images/disk%20image.raw/',
      '/images/',
      '/images',
      '/v86/../package.json',
      '/v86/..%2fpackage.json',
      '/v86/%2e%2e/package.json',
      '/v86/',
      '/chunks/.hidden',
      '/firmware/none.bin',
      '/%ff',
      '/../../etc/passwd',
      '//',
      '*',
    ]) {
      expect([path, (await client.ask(path)).status]).toEqual([path, 404]);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
      const { status, headers } = await client.ask('/', {}, method);
      expect([method, status, headers.allow]).toEqual([method, 405, 'GET, HEAD']);
    }
  });

  test('forbids other sites to embed any answer, and to take it for what it is not', async () => {
    const asked: [target: string, headers: Record<string, string>, method?: string][] = [
      ['/', {}],
      ['/offer.json', {}],
      ['/images/disk%20image.raw', { range: 'bytes=0-0' }],
      ['/images/disk%20image.raw', { range: 'bytes=9999-' }],
      ['/images/disk%20image.raw', { 'if-none-match': '*' }],
      ['/nothing', {}],
      ['/', {}, 'POST'],
      ['/', { host: 'other.test' }],
      ['/', { expect: 'what nobody knows' }],
    ];
    const expected = {
      'content-security-policy': expect.stringContaining("frame-ancestors 'none'"),
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    };
    for (const [target, given, method] of asked) {
      expect((await client.ask(target, given, method)).headers).toMatchObject(expected);
    }
    const text = (await receiveAll(await sendRaw(base, 'no request\r\n\r\n'))).toLowerCase();
    expect(text).toMatch(/^http\/1.1 400 /);
    for (const name of Object.keys(expected)) expect(text).toContain(`\r\n${name}: `);
  });
});

describe('images', () => {
  const odd = [
    'a=b',
    'a@b',
    'a+b',
    'a,b',
    'a;b',
    'a#b',
    'a?b',
    'a%b',
    'a%2fb',
    '%2e%2e',
    'a b',
    ' ',
    '..x',
    '.x',
    '...',
  ];
  const named = [
    'x.html',
    'x.gz',
    'x.br',
    'x.js',
    'x.svg',
    'index.html',
    'offer.json',
    '-x',
    '--',
    '"',
    "'",
    '\\',
    '&amp;',
  ];
  const byteCount = (name: string): number => Buffer.byteLength(name);
  const name = fc
    .oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
      fc.string({ unit: fc.constantFrom(...'=@+,;#?%.: &~\\\'"<>|*2ef'), minLength: 1, maxLength: 20 }),
    )
    .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && byteCount(text) <= 255);

  test('are there at the address that the page makes of their name, as bytes, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { minLength: 20, maxLength: 60 }), async (generated) => {
        const names = [...new Set([...odd, ...named, ...generated])];
        for (const [index, name] of names.entries()) writeFileSync(scratch(name), `content ${index}`);
        const server = await WebServer.start(...names.map(scratch));
        const client = new WebClient(server.base);
        try {
          const { body } = await client.ask('/offer.json');
          const offer = JSON.parse(String(body)) as { images: { name: string }[] };
          expect(offer.images.map(({ name }) => name)).toEqual(names);
          for (const [index, { name }] of offer.images.entries()) {
            const { pathname, search, hash } = new URL(imageUrl(name, `${server.base}/?x#y`));
            const answer = await client.ask(pathname + search + hash, { 'accept-encoding': 'gzip, br' });
            expect([name, answer.status, String(answer.body)]).toEqual([name, 200, `content ${index}`]);
            expect(answer.headers['content-type']).toBe('application/octet-stream');
            expect(answer.headers).not.toHaveProperty('content-encoding');
          }
        } finally {
          client.close();
          expect(await server.stop()).toBe(0);
        }
      }),
      { numRuns: 6 },
    );
  });

  test('each have a machine of their own, whose name files can have', () => {
    const seen = new Map<string, string>();
    const check = (text: string): void => {
      const made = machineName(text);
      expect(made).toMatch(/^[\w.-]{1,80}$/);
      expect(seen.get(made) ?? text).toBe(text);
      seen.set(made, text);
    };
    const url = (name: string): string => imageUrl(name, 'http://127.0.0.1:8086/');
    const more = [
      'один',
      'два',
      'x'.repeat(100),
      `y${'x'.repeat(100)}`,
      'a:b',
      'a_b',
      'http_127.0.0.1_8086_images_x',
    ];
    for (const text of [...odd, ...named, ...more]) {
      check(text);
      check(url(text));
    }
    for (const text of ['http://h/a/b', 'http://h/a_b', 'http://h_1/images/x', 'http://h:1/images/x'])
      check(text);
    fc.assert(fc.property(name, check), { numRuns: 2000 });
    expect(machineName(url('disk.qcow2'))).toBe('http_127.0.0.1_8086_images_disk.qcow2');
    expect(machineName('embedded-disk.qcow2')).toBe('embedded-disk.qcow2');
  });
});

describe('requests', () => {
  let server: WebServer;
  let client: WebClient;

  async function start(...options: string[]): Promise<void> {
    server = await WebServer.start(...options);
    client = new WebClient(server.base);
  }

  /** The status that requests for these hosts get. */
  async function statuses(hosts: readonly string[]): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const host of hosts) found[host] = (await client.ask('/offer.json', { host })).status;
    return found;
  }

  const each = (hosts: readonly string[], status: number) =>
    Object.fromEntries(hosts.map((host) => [host, status]));

  afterEach(async () => {
    client.close();
    expect(await server.stop()).toBe(0);
  });

  const foreign = [
    'evil.test',
    'evil.test:8086',
    'localhost.evil.test',
    'evil.localhost',
    '127.0.0.1.evil.test',
    '127.0.0.1@evil.test',
    '127.0.0.2',
    '10.0.0.1',
    '[::1]',
    '[::ffff:10.0.0.1]',
    '0.0.0.0',
    ':80',
    '[',
    'a b',
    'evil.test/127.0.0.1',
    'evil.test#localhost',
    '%6cocalhost',
  ];

  test('for another host are refused, and told which', async () => {
    await start();
    expect(await statuses(foreign)).toEqual(each(foreign, 421));
    const { body } = await client.ask('/', { host: 'evil.test:1' });
    expect(String(body)).toBe(
      "'evil.test:1' is not a host that blockyard web answers for. If that is a name of this machine, start it with --allow-host NAME.\n",
    );
  });

  test('for localhost and the address that is listened on are answered, with any port', async () => {
    await start();
    const port = new URL(server.base).port;
    const own = [
      'localhost',
      'LocalHost',
      'localhost.',
      '127.0.0.1',
      `127.0.0.1:${port}`,
      'localhost:1',
      '127.1',
    ];
    expect(await statuses(own)).toEqual(each(own, 200));
  });

  test('for hosts that the user adds are answered', async () => {
    await start('--allow-host', 'disks.example', '--allow-host=fe80::1', '--allow-host', 'Bücher.example');
    const added = [
      'disks.example',
      'DISKS.example:80',
      '[FE80::1]:1',
      '[fe80:0::1]',
      'xn--bcher-kva.example',
    ];
    expect(await statuses(added)).toEqual(each(added, 200));
    expect(await statuses(foreign)).toEqual(each(foreign, 421));
  });

  test('for any address of this machine are answered by who listens on all of them', async () => {
    await start('--host', '0.0.0.0');
    const { port } = new URL(server.base);
    client.close();
    client = new WebClient(`http://127.0.0.1:${port}`);
    const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    const own = addresses.map(({ address, family }) =>
      family === 'IPv6' ? `[${address.replace(/%.*/, '')}]` : address,
    );
    expect(own).toContain('127.0.0.1');
    const names = [...own, '0.0.0.0', 'localhost'];
    expect(await statuses(names)).toEqual(each(names, 200));
    // What came to it by another of its addresses names that one.
    client.close();
    client = new WebClient(`http://127.0.0.2:${port}`);
    expect(await statuses(['127.0.0.2', '127.0.0.3', '203.0.113.1', 'evil.test'])).toEqual({
      '127.0.0.2': 200,
      '127.0.0.3': 421,
      '203.0.113.1': 421,
      'evil.test': 421,
    });
  });

  test('must name one host, in the way that counts', async () => {
    await start();
    const refused = {
      'GET / HTTP/1.1\r\n': 400,
      'GET / HTTP/1.0\r\n': 400,
      'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n': 400,
      'GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n': 400,
      'GET / HTTP/1.1\r\nHost:\r\n': 421,
      'GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\n': 421,
      'GET http://localhost/ HTTP/1.1\r\nHost: evil.test\r\n': 200,
    };
    for (const [request, status] of Object.entries(refused)) {
      const socket = await sendRaw(server.base, `${request}Connection: close\r\n\r\n`);
      expect((await receiveAll(socket)).split(' ', 2)[1], request).toBe(String(status));
    }
  });
});

test.each([
  [['--port', 'x'], "--port: 'x' is not a port"],
  [['--port'], "missing argument for option '--port'"],
  [['--zz'], "unrecognized option '--zz'"],
  [['/no/such/image'], "'/no/such/image' is not a file"],
  [['/\0'], "'/\0': "],
  [['--bios', '/no/such/bios'], "'/no/such/bios' is not a file"],
  [['--bios', '/'], "'/' is not a file"],
  [['--host', ''], "--host: '' is not an address"],
  [['--allow-host', ''], "--allow-host: '' is not a name or address of a host"],
  [['--allow-host', 'http://x'], "--allow-host: 'http://x' is not a name or address of a host"],
  [['--allow-host', 'x:80'], "--allow-host: 'x:80' is not a name or address of a host"],
])('%j is refused', async (argv, message) => {
  let errors = '';
  const terminal = { out: () => {}, error: (text: string) => void (errors += text) };
  expect(await main(argv, 'blockyard web', terminal)).toBe(1);
  expect(errors).toContain(message);
});
