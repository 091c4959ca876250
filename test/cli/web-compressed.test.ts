/** Compressed answers of `blockyard web`: who gets which, and that each is told apart from the others. */
import { readFileSync, writeFileSync } from 'node:fs';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { acceptedCodings } from '../../host/cli/web/content-codings.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { WebClient } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const built = (path: string): Buffer => readFileSync(new URL(`../../dist/${path}`, import.meta.url));

let server: WebServer;
let client: WebClient;

beforeAll(async () => {
  writeFileSync(scratch('disk.raw'), Buffer.alloc(8192));
  server = await WebServer.start(scratch('disk.raw'));
  client = new WebClient(server.base);
});

afterAll(async () => {
  client.close();
  expect(await server.stop()).toBe(0);
});

test.each([
  [undefined, []],
  ['', []],
  ['gzip', ['gzip']],
  ['x-gzip', ['gzip']],
  ['gzip, deflate, br, zstd', ['br', 'gzip']],
  ['GZIP;Q=1, BR;Q=0.5', ['gzip', 'br']],
  ['br;q=0, *', ['gzip']],
  ['*', ['br', 'gzip']],
  ['*;q=0', []],
  ['br;q=0.000,gzip;q=0.001', ['gzip']],
  ['identity;q=1, br;q=0.9, gzip;q=0.1', []],
  ['identity;q=0.5, br;q=0.4, gzip ; q=0.6', ['gzip']],
  ['br;q=2, gzip;q=-1, ;;, br gzip', []],
])('Accept-Encoding %j means %j', (header, names) => {
  expect(acceptedCodings(header).map(({ name }) => name)).toEqual(names);
});

test.each([
  ['/', 'web/index.html'],
  ['/app.js', 'web/app.js'],
  ['/browser/index.js', 'browser/index.js'],
])('%s comes in the form that was asked for, each with an ETag of its own', async (path, file) => {
  const content = built(file);
  const plain = await client.ask(path);
  const forms = {
    br: { headers: { 'accept-encoding': 'gzip, br' }, decode: brotliDecompressSync },
    gzip: { headers: { 'accept-encoding': 'gzip' }, decode: gunzipSync },
  };
  expect([plain.status, plain.headers['content-encoding'], plain.headers.vary]).toEqual([
    200,
    undefined,
    'Accept-Encoding',
  ]);
  expect(plain.body).toEqual(content);
  const etags = new Set([plain.headers.etag]);
  for (const [coding, { headers, decode }] of Object.entries(forms)) {
    const answer = await client.ask(path, headers);
    expect(answer.headers).toMatchObject({
      'content-encoding': coding,
      vary: 'Accept-Encoding',
      'content-type': plain.headers['content-type'],
      'content-length': String(answer.body.length),
    });
    expect(decode(answer.body)).toEqual(content);
    const { etag = '' } = answer.headers;
    etags.add(etag);
    // A form that the client has says nothing of the others.
    const again = await client.ask(path, { ...headers, 'if-none-match': etag });
    expect([again.status, again.headers.etag, again.headers.vary]).toEqual([304, etag, 'Accept-Encoding']);
    expect((await client.ask(path, { 'if-none-match': etag })).status).toBe(200);
    const part = await client.ask(path, { ...headers, range: 'bytes=10-19', 'if-range': etag });
    expect([part.status, part.headers['content-encoding']]).toEqual([206, coding]);
    expect(part.body).toEqual(answer.body.subarray(10, 20));
    const head = await client.ask(path, headers, 'HEAD');
    expect(head.headers['content-length']).toBe(String(answer.body.length));
    expect((await client.ask(path, { ...headers, 'if-match': '"other"' })).headers.vary).toBe(
      'Accept-Encoding',
    );
  }
  expect(etags.size).toBe(3);
});

test('images are sent as they are', async () => {
  const { headers, body } = await client.ask('/images/disk.raw', { 'accept-encoding': 'br, gzip' });
  expect([headers['content-encoding'], headers.vary, body.length]).toEqual([undefined, undefined, 8192]);
});

test('who has yet to choose a machine is sent little', async () => {
  const files = new Set<string>();
  const follow = async (path: string): Promise<number> => {
    if (files.has(path)) return 0;
    files.add(path);
    const { body, headers } = await client.ask(path, { 'accept-encoding': 'br' });
    // What is very short is not worth it.
    const text = (headers['content-encoding'] === 'br' ? brotliDecompressSync(body) : body).toString();
    const parts = path.endsWith('.js')
      ? text.matchAll(/\b(?:from|import)\s*"(\.\/[^"]+)"/g)
      : text.matchAll(/(?:href|src)="([\w/.-]+)"/g);
    let bytes = body.length;
    for (const [, name] of parts) bytes += await follow(new URL(name!, new URL(path, server.base)).pathname); // it has one group
    return bytes;
  };
  expect(await follow('/')).toBeLessThan(40 * 1024);
  expect([...files]).toEqual(expect.arrayContaining(['/app.js', '/style.css']));
});
