/** What clients of `blockyard web` break off, leave half done, or send too much of costs them their connection, and nobody else anything. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AllowedHosts } from '../../host/cli/web/allowed-hosts.ts';
import { createSiteServer, usualLimits } from '../../host/cli/web/server.ts';
import { Site } from '../../host/cli/web/site.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { closing, receiveAll, sendRaw, WebClient } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const patient = { timeout: 20_000 };
const bigBytes = 64 << 20;
const request = (target: string, ...headers: string[]): string =>
  [`GET ${target} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n');
const download = request('/images/big.img');

/** A client that has got the beginning of an answer, and takes no more. */
async function begin(base: string): Promise<Socket> {
  const socket = await sendRaw(base, download);
  await once(socket, 'readable');
  return socket;
}

describe('a server', () => {
  let server: WebServer;
  let client: WebClient;

  async function start(...more: string[]): Promise<void> {
    writeFileSync(scratch('big.img'), '');
    truncateSync(scratch('big.img'), bigBytes);
    server = await WebServer.start(scratch('big.img'), ...more);
    client = new WebClient(server.base);
  }

  afterEach(async () => {
    expect((await client.ask('/offer.json')).status).toBe(200);
    client.close();
    expect(await server.stop()).toBe(0);
    expect(server.complaints).toBe('');
  });

  test('gives back the descriptors of downloads that were broken off', async () => {
    await start();
    const before = server.descriptors;
    const sockets = await Promise.all(Array.from({ length: 300 }, () => begin(server.base)));
    // Of each the connection and the file.
    expect(server.descriptors).toBeGreaterThanOrEqual(before + 600);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(before);
  });

  test('gives back the descriptors of requests whose clients had gone before the answer', async () => {
    await start();
    const before = server.descriptors;
    for (let round = 0; round < 20; round++) {
      const sockets = await Promise.all(Array.from({ length: 20 }, () => sendRaw(server.base, download)));
      for (const [index, socket] of sockets.entries()) {
        if (index % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
      }
    }
    await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(before);
  });

  test('answers requests that were sent ahead in their order, with one file open', async () => {
    await start();
    const before = server.descriptors;
    const names = ['/offer.json', '/images/big.img', '/', '/nothing', '/offer.json'];
    const requests = names.map((name) => request(name, 'Range: bytes=0-9'));
    const socket = await sendRaw(server.base, requests.join('') + request('/', 'Connection: close'));
    const answers = await receiveAll(socket);
    expect(answers.match(/HTTP\/1.1 \d+/g)!.map((line) => line.slice(-3))).toEqual([
      '200',
      '206',
      '206',
      '404',
      '200',
      '200',
    ]);
    await expect.poll(() => server.descriptors, patient).toBe(before);
    const greedy = await sendRaw(server.base, download.repeat(10));
    await once(greedy, 'readable');
    expect(server.descriptors).toBe(before + 2);
    greedy.destroy();
  });

  test('ends a connection that asks for much more than it takes', async () => {
    await start();
    const before = server.descriptors;
    const socket = await sendRaw(server.base, download.repeat(2000));
    await receiveAll(socket);
    await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(before);
  });

  test('breaks off an answer whose image has become shorter, and no other', async () => {
    await start();
    writeFileSync(scratch('other.img'), 'other');
    const socket = await begin(server.base);
    truncateSync(scratch('big.img'), 1 << 20);
    // Its answer would be taken for the rest.
    socket.write(request('/offer.json', 'Connection: close'));
    const text = await receiveAll(socket);
    expect(text).toContain(`Content-Length: ${bigBytes}\r\n`);
    expect(text.length).toBeLessThan(bigBytes);
    expect(text.match(/HTTP\/1.1/g)).toHaveLength(1);
    expect((await client.ask('/images/big.img')).body.length).toBe(1 << 20);
  });

  test('goes on sending what has lost its name, and then no longer has it', async () => {
    await start();
    const socket = await begin(server.base);
    renameSync(scratch('big.img'), scratch('gone.img'));
    socket.write(request('/images/big.img', 'Connection: close'));
    const text = await receiveAll(socket);
    expect(text.length).toBeGreaterThan(bigBytes);
    expect(text).toContain('HTTP/1.1 404 Not Found');
  });

  test('does not wait for what takes the name of an image and is no file', async () => {
    await start();
    rmSync(scratch('big.img'));
    execFileSync('mkfifo', [scratch('big.img')]);
    expect((await client.ask('/images/big.img')).status).toBe(404);
    rmSync(scratch('big.img'));
    execFileSync('mkdir', [scratch('big.img')]);
    expect((await client.ask('/images/big.img')).status).toBe(404);
    rmSync(scratch('big.img'), { recursive: true });
  });

  test('says that it cannot when it may open no more files, and can again later', async () => {
    await start();
    await server.stop();
    server = await WebServer.startLimited({ descriptors: 48 }, scratch('big.img'));
    client.close();
    client = new WebClient(server.base);
    const before = server.descriptors;
    // The connection is there before there is nothing left to open a file with.
    expect((await client.ask('/images/big.img', { range: 'bytes=0-0' })).status).toBe(206);
    const sockets: Socket[] = [];
    let status = 206;
    while (status === 206) {
      sockets.push(await sendRaw(server.base, download));
      status = (await client.ask('/images/big.img', { range: 'bytes=0-0' })).status;
      expect(sockets.length).toBeLessThan(48);
    }
    expect(status).toBe(503);
    // Nor does it take more connections than it can, or end because of them.
    const more = await Promise.all(Array.from({ length: 60 }, () => sendRaw(server.base, download)));
    for (const socket of [...sockets, ...more]) socket.destroy();
    await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(before + 1);
    expect((await client.ask('/images/big.img', { range: 'bytes=0-0' })).status).toBe(206);
  });

  test('outlives whatever is sent to it', async () => {
    await start();
    const before = server.descriptors;
    const piece = fc.oneof(
      fc.constantFrom(
        'GET ',
        '/ ',
        'HTTP/1.1',
        'HTTP/9.9',
        '\r\n',
        '\r\n\r\n',
        '\n',
        ': ',
        'Host: localhost',
        '\0',
      ),
      fc.constantFrom('POST / ', 'PRI * HTTP/2.0', 'CONNECT x:1 ', 'OPTIONS * ', '/images/big.img '),
      fc.constantFrom(
        'Content-Length: 5',
        'Content-Length: -1',
        'Transfer-Encoding: chunked',
        'ffffffff\r\n',
        '0\r\n',
      ),
      fc.constantFrom(
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Expect: 100-continue',
        'Range: bytes=0-0',
      ),
      fc.constantFrom('If-Range: ', 'If-None-Match: "', 'x'.repeat(70_000)),
      fc.constantFrom(request('/'), request('/images/big.img', 'Range: bytes=-1'), request('/%')),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.boolean(), async (pieces, isReset) => {
        const socket = await sendRaw(server.base, pieces.join(''));
        if (isReset) socket.resetAndDestroy();
        else socket.end();
        socket.resume();
        await closing(socket);
        expect(server.hasEnded).toBe(false);
      }),
      { numRuns: 300 },
    );
    await expect.poll(() => server.descriptors, patient).toBeLessThanOrEqual(before);
  });
});

describe('a client that is waited for', () => {
  const limits = {
    ...usualLimits,
    connections: 8,
    headersMs: 150,
    requestMs: 300,
    betweenRequestsMs: 150,
    stillMs: 1000,
    checkMs: 30,
  };
  let server: Server;
  let base: string;
  let sockets: Socket[];

  const send = async (bytes: string): Promise<Socket> => {
    const socket = await sendRaw(base, bytes);
    sockets.push(socket);
    return socket;
  };

  beforeEach(async () => {
    sockets = [];
    writeFileSync(scratch('big.img'), '');
    truncateSync(scratch('big.img'), bigBytes);
    server = createSiteServer({
      site: new Site({
        page: { path: scratch('.') },
        folders: new Map(),
        images: new Map([['big.img', scratch('big.img')]]),
        bios: undefined,
        vgaBios: undefined,
      }),
      allowedHosts: new AllowedHosts([]),
      report: (message) => expect.fail(message),
      limits,
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });

  test.each([
    ['says nothing', '', /^(HTTP\/1.1 408 |$)/],
    ['stops in its first line', 'GET /ima', /^HTTP\/1.1 408 /],
    ['stops in its headers', 'GET / HTTP/1.1\r\nHost: localhost\r\nX-', /^HTTP\/1.1 408 /],
    [
      'does not send the body it announces',
      request('/offer.json', 'Content-Length: 9'),
      /^HTTP\/1.1 200 [\s\S]*HTTP\/1.1 408 /,
    ],
    [
      'does not end a body in pieces',
      `${request('/offer.json', 'Transfer-Encoding: chunked')}5\r\nabc`,
      /^HTTP\/1.1 200 [\s\S]*HTTP\/1.1 408 /,
    ],
    ['has been answered and asks no more', request('/offer.json'), /^HTTP\/1.1 200 /],
  ])('is left when it %s', async (_how, bytes, expected) => {
    expect(await receiveAll(await send(bytes))).toMatch(expected);
  });

  test('is left when it does not take what it asked for', async () => {
    const left = once(server, 'connection').then(([socket]) => closing(socket as Socket));
    await send(download);
    await left;
    await expect.poll(openImages, patient).toBe(0);
  });

  test('keeps others from connecting only up to a number, and while it is', async () => {
    const held = await Promise.all(Array.from({ length: limits.connections }, () => send('')));
    const refused = await send(request('/offer.json'));
    expect(await receiveAll(refused)).toBe('');
    await Promise.all(held.map(receiveAll));
    expect(await receiveAll(await send(request('/offer.json', 'Connection: close')))).toMatch(/ 200 /);
  });
});

/** How often this process has the image open. */
function openImages(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === scratch('big.img');
    } catch {
      return false; // the one of the directory that is being read
    }
  }).length;
}
