/**
 * Byte streams over WebSockets: what goes in comes out, however it is cut; who may come; and what becomes of peers that break the
 * protocol, read slowly or say nothing.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Connection } from '../../../host/platform/connection.ts';
import { listenOn } from '../../../host/platform/node/sockets.ts';
import { WebSocketConnection } from '../../../host/platform/node/websocket-connection.ts';
import {
  connectWebSocket,
  listenForWebSockets,
  WebSocketUpgrades,
} from '../../../host/platform/node/websockets.ts';
import { ConnectionEnd } from '../../support/connection-end.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const scratch = scratchDirectory();

let server: Server;
let upgrades: WebSocketUpgrades;
let port: number;
let origins: string[];
let arrivals: Connection[];
let awaited: ((connection: Connection) => void) | undefined;
const opened: { terminate?(): void; destroy?(): void; close?(): void }[] = [];

async function listen(handshakeMs?: number): Promise<void> {
  server = await listenOn({ type: 'inet', host: '127.0.0.1', port: '0' }, { noDelay: true });
  const accept = (connection: Connection): void => {
    opened.push(connection);
    if (awaited) awaited(connection);
    else arrivals.push(connection);
    awaited = undefined;
  };
  upgrades = new WebSocketUpgrades(
    (path) => (path === '/disk' ? { origins, accept } : undefined),
    handshakeMs,
  );
  server.on('connection', (socket) => upgrades.take(socket));
  ({ port } = server.address() as AddressInfo);
}

beforeEach(async () => {
  [origins, arrivals, awaited] = [[], [], undefined];
  await listen();
});

afterEach(async () => {
  for (const one of opened.splice(0)) (one.terminate ?? one.destroy ?? one.close)?.call(one);
  await stop();
});

async function stop(): Promise<void> {
  server.close();
  upgrades.close();
  if (server.listening) await once(server, 'close');
}

/** Who comes next, or has come. */
function arrival(): Promise<Connection> {
  const [there] = arrivals.splice(0, 1);
  return there ? Promise.resolve(there) : new Promise((resolve) => void (awaited = resolve));
}

const url = (): string => `ws://127.0.0.1:${port}/disk`;

/** A client of the library's, open. */
async function client(): Promise<WebSocket> {
  const socket = new WebSocket(url(), 'binary', { perMessageDeflate: false });
  opened.push(socket);
  await once(socket, 'open');
  return socket;
}

function rawClient(): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  opened.push(socket);
  return socket;
}

/** The request of a client that does everything right, but for what is said. Null: left out. */
function requestFor(path: string, changed: Readonly<Record<string, string | null>> = {}): string {
  const headers: Record<string, string | null> = {
    Host: `127.0.0.1:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol': 'binary',
    ...changed,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === null ? [] : `${name}: ${value}`,
  );
  return `GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** A frame of a client (RFC 6455, section 5.2): of less than 126 bytes, masked with zeros. */
function frame(opcode: number, payload: Uint8Array, isFinal = true): Buffer {
  return Buffer.concat([
    Buffer.of((isFinal ? 0x80 : 0) | opcode, 0x80 | payload.length, 0, 0, 0, 0),
    payload,
  ]);
}

const Opcode = { continuation: 0, text: 1, binary: 2 } as const;

/** Different everywhere. */
function pattern(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i ^ (i >> 8) ^ (i >> 16)) & 0xff));
}

async function statusOf(request: string): Promise<number> {
  const socket = rawClient();
  socket.write(request);
  const [head] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString('latin1'))![1]); // whoever answers does so
}

describe('a stream over a WebSocket', () => {
  test('is what was sent, each byte by itself and a message in several frames', async () => {
    const socket = rawClient().setNoDelay(true);
    const frames = [
      frame(Opcode.binary, Buffer.from('one ')),
      frame(Opcode.binary, Buffer.from('tw'), false),
      frame(Opcode.continuation, Buffer.from('o ')),
      frame(Opcode.binary, Buffer.from('three')),
    ];
    for (const byte of Buffer.concat([Buffer.from(requestFor('/disk')), ...frames])) {
      await new Promise((resolve) => socket.write(Buffer.of(byte), resolve));
    }
    const end = new ConnectionEnd(await arrival()).start();
    expect((await end.has(13)).toString()).toBe('one two three');
  });

  test('is what was sent when it comes with the request', async () => {
    const first = frame(Opcode.binary, Buffer.from('early'));
    rawClient().write(Buffer.concat([Buffer.from(requestFor('/disk')), first]));
    const end = new ConnectionEnd(await arrival());
    // Nothing is lost that comes before anybody listens.
    await new Promise((resolve) => void setImmediate(resolve));
    expect((await end.start().has(5)).toString()).toBe('early');
  });

  test('goes both ways between our own ends, large writes in messages of a bounded size', async () => {
    const ours = new ConnectionEnd(await connectWebSocket(url())).start();
    opened.push(ours.connection);
    const theirs = new ConnectionEnd(await arrival()).start();
    const large = pattern(3_000_000);
    const isSent = new Promise<void>((resolve) => ours.connection.write(large, resolve));
    theirs.connection.write(Buffer.from('hello'));
    expect((await theirs.has(large.length)).equals(large)).toBe(true);
    expect(Math.max(...theirs.sizes)).toBe(256 << 10);
    await isSent;
    expect((await ours.has(5)).toString()).toBe('hello');
    theirs.connection.write(large);
    expect((await ours.has(5 + large.length)).subarray(5).equals(large)).toBe(true);
  });

  test('reaches its peer before the end that follows', async () => {
    const theirs = new ConnectionEnd(await connectWebSocket(url())).start();
    const connection = await arrival();
    const large = pattern(1_000_000);
    connection.start({ data: () => {}, drained: () => {}, ended: () => {}, closed: () => {} });
    connection.write(large);
    connection.close();
    await theirs.whenOver;
    expect(theirs.bytes.equals(large)).toBe(true);
  });

  test('is over for who listens when the peer has gone before', async () => {
    const peer = await client();
    const connection = await arrival();
    peer.terminate();
    await new Promise((resolve) => void setTimeout(resolve, 20));
    await new ConnectionEnd(connection).start().whenOver;
  });
});

describe('a slow peer', () => {
  test('makes what is written wait, and tells when it has fetched it', async () => {
    const peer = await client();
    peer.pause();
    const end = new ConnectionEnd(await arrival()).start();
    const piece = pattern(1 << 20);
    // More than the system takes by itself.
    for (let i = 0; i < 32; i++) end.connection.write(piece);
    await new Promise((resolve) => void setImmediate(resolve));
    expect(end.connection.unsentBytes).toBeGreaterThan(8 << 20);
    expect(end.drains).toBe(0);
    let received = 0;
    const whole = new Promise<void>((resolve) => {
      peer.on('message', (bytes: Buffer) => {
        received += bytes.length;
        if (received === 32 << 20) resolve();
      });
    });
    peer.resume();
    await whole;
    expect(end.connection.unsentBytes).toBe(0);
    expect(end.drains).toBeGreaterThan(0);
  });

  test('waits while it is not read from, and nothing is lost', async () => {
    const ours = new ConnectionEnd(await connectWebSocket(url())).start();
    opened.push(ours.connection);
    const theirs = new ConnectionEnd(await arrival()).start();
    theirs.connection.pause();
    const large = pattern(32 << 20);
    ours.connection.write(large);
    await new Promise((resolve) => void setTimeout(resolve, 50));
    expect(theirs.bytes.length).toBeLessThanOrEqual(1 << 20);
    expect(ours.connection.unsentBytes).toBeGreaterThan(8 << 20);
    theirs.connection.resume();
    expect((await theirs.has(large.length)).equals(large)).toBe(true);
  });
});

describe('who may come', () => {
  test.each<[string, number, Record<string, string | null>]>([
    ['a program', 101, {}],
    ['a program that names no subprotocol', 101, { 'Sec-WebSocket-Protocol': null }],
    ['one of several subprotocols', 101, { 'Sec-WebSocket-Protocol': 'chat, binary' }],
    ['another subprotocol', 400, { 'Sec-WebSocket-Protocol': 'chat' }],
    ['another version', 400, { 'Sec-WebSocket-Version': '7' }],
    ['no upgrade', 426, { Connection: 'close', Upgrade: null }],
    ['a page of another origin', 403, { Origin: 'https://elsewhere.test' }],
    ['a page of another port', 403, { Origin: 'http://127.0.0.1:1' }],
    ['a page without an origin', 403, { Origin: 'null' }],
    ['a page that was named', 101, { Origin: 'https://named.test' }],
    ['a page whose name begins alike', 403, { Origin: 'https://named.test.elsewhere.test' }],
    ['a page that was named, of another scheme', 403, { Origin: 'http://named.test' }],
  ])('%s: %i', async (_, status, headers) => {
    origins = ['https://named.test'];
    expect(await statusOf(requestFor('/disk', headers))).toBe(status);
  });

  test.each([
    ['127.0.0.1', 101],
    ['localhost', 101],
    ['[::1]', 101],
    // It could have been made to point here.
    ['rebound.test', 403],
  ])('a page of the server itself, as %s: %i', async (name, status) => {
    const host = `${name}:${port}`;
    expect(await statusOf(requestFor('/disk', { Host: host, Origin: `http://${host}` }))).toBe(status);
  });

  test('any page, where that was said', async () => {
    origins = ['*'];
    expect(await statusOf(requestFor('/disk', { Origin: 'https://elsewhere.test' }))).toBe(101);
    expect(await statusOf(requestFor('/disk', { Origin: 'null' }))).toBe(101);
  });

  test('nobody under another path', async () => {
    expect(await statusOf(requestFor('/other'))).toBe(404);
    expect(await statusOf(requestFor('/disk?x=1'))).toBe(101);
  });
});

describe('loses its connection, and no other does', () => {
  test.each<[string, number, (peer: WebSocket) => void]>([
    ['a peer that sends text', 1003, (peer) => peer.send('text')],
    ['a peer whose message is too large', 1009, (peer) => peer.send(Buffer.alloc((33 << 20) + 1))],
  ])('%s', async (_, code, act) => {
    const [peer, other] = [await client(), await client()];
    const [end, otherEnd] = [
      new ConnectionEnd(await arrival()).start(),
      new ConnectionEnd(await arrival()).start(),
    ];
    const closed = once(peer, 'close');
    act(peer);
    expect((await closed)[0]).toBe(code);
    await end.whenOver;
    expect(end.bytes.length).toBe(0);
    other.send(Buffer.from('still here'));
    expect((await otherEnd.has(10)).toString()).toBe('still here');
  });

  test.each<[string, Uint8Array]>([
    ['does not mask its frames', Buffer.of(0x82, 1, 7)],
    ['goes on with what it has not begun', frame(Opcode.continuation, Buffer.of(7))],
    ['uses a bit that means nothing', Buffer.of(0xc2, 0x81, 0, 0, 0, 0, 7)],
    [
      'speaks of more than there can be',
      Buffer.of(0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0),
    ],
  ])('a peer that %s', async (_, bytes) => {
    const socket = rawClient();
    socket.write(requestFor('/disk'));
    const end = new ConnectionEnd(await arrival()).start();
    socket.resume().write(bytes);
    await once(socket, 'end');
    socket.destroy();
    await end.whenOver;
    expect(end.bytes.length).toBe(0);
  });

  test('a peer that asks for answers and does not fetch them', async () => {
    const socket = rawClient();
    socket.write(requestFor('/disk'));
    const end = new ConnectionEnd(await arrival()).start();
    socket.pause();
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(9, Buffer.alloc(125))));
    const flood = (): void => void (!socket.destroyed && socket.write(pings, flood));
    flood();
    await end.whenOver;
  });

  test('a client that is slow to ask', async () => {
    await stop();
    await listen(30);
    const socket = rawClient().resume();
    socket.write('GET /disk HTTP/1.1\r\n');
    await once(socket, 'close');
    // Who has been let in has all the time.
    const end = new ConnectionEnd(await connectWebSocket(url())).start();
    opened.push(end.connection);
    const theirs = await arrival();
    await new Promise((resolve) => void setTimeout(resolve, 60));
    theirs.write(Buffer.from('there'));
    expect((await end.has(5)).toString()).toBe('there');
  });

  test('a client that speaks another protocol', async () => {
    const socket = rawClient().resume();
    socket.write('NBDMAGIC IHAVEOPT\r\n\r\n');
    await once(socket, 'close');
  });

  test('a peer that is silently gone, but none that answers', async () => {
    for (const autoPong of [true, false]) {
      const deaf = new WebSocketServer({ host: '127.0.0.1', port: 0, autoPong });
      await once(deaf, 'listening');
      const webSocket = new WebSocket(`ws://127.0.0.1:${(deaf.address() as AddressInfo).port}`);
      let socket: Socket | undefined;
      webSocket.once('upgrade', (response) => void ({ socket } = response));
      await once(webSocket, 'open');
      const end = new ConnectionEnd(new WebSocketConnection(webSocket, socket!, 10)).start(); // it has been upgraded
      if (autoPong) await new Promise((resolve) => void setTimeout(resolve, 60));
      else await end.whenOver;
      expect(webSocket.readyState === webSocket.OPEN).toBe(autoPong);
      end.connection.close();
      for (const one of deaf.clients) one.terminate();
      deaf.close();
    }
  });
});

describe('connecting', () => {
  test.each<[string, () => string, string]>([
    ['that nobody listens for', () => `ws://127.0.0.1:${port}/disk`, 'Connection refused'],
    ['to a name that there is not', () => 'ws://nobody.invalid/', 'Name or service not known'],
  ])('%s fails', async (_, where, reason) => {
    const address = where();
    await stop();
    await expect(connectWebSocket(address)).rejects.toThrow(`Failed to connect to '${address}': ${reason}`);
  });

  test('to what is not there says what the server answers', async () => {
    const address = `ws://127.0.0.1:${port}/other`;
    await expect(connectWebSocket(address)).rejects.toThrow(
      `Failed to connect to '${address}': the server answers 404 Not Found`,
    );
  });

  test('reaches who listens on a unix socket, until that ends', async () => {
    const path = scratch('ws.sock');
    const listener = await listenForWebSockets({ type: 'unix', path }, () => ({
      origins: [],
      accept: (connection) => {
        new ConnectionEnd(connection).start();
        connection.write(Buffer.from('unix'));
        opened.push(connection);
      },
    }));
    const end = new ConnectionEnd(await connectWebSocket(`ws+unix://${path}:/any`)).start();
    opened.push(end.connection);
    expect((await end.has(4)).toString()).toBe('unix');
    listener.close();
    await expect(connectWebSocket(`ws+unix://${path}:/any`)).rejects.toThrow('No such file or directory');
  });
});
