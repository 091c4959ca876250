/**
 * Exports over WebSockets, as a monitor makes them: whom they serve, where, and what becomes of their clients when they go. What is
 * in the stream is NBD, and tested as such.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { withObjectOptions } from '../../host/cli/shared/object-types.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports } from '../../host/exports/block-exports.ts';
import { Command, Option } from '../../host/nbd/constants.ts';
import { hostObjectTypes } from '../../host/objects/host-types.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { connectWebSocket } from '../../host/platform/node/websockets.ts';
import type { QmpClient } from '../../host/qmp/client.ts';
import { storageDaemonCommands } from '../../host/qmp/commands/storage-daemon.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import {
  authorityExtensions,
  CertificateMaker,
  clientExtensions,
  serverExtensions,
} from '../support/certificates.ts';
import { ConnectionEnd } from '../support/connection-end.ts';
import { freePort } from '../support/free-port.ts';
import { connectClient } from '../support/local-client.ts';
import { hello, infoFor, option, request } from '../support/nbd-messages.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveOpenssl } from '../support/tools.ts';

const scratch = scratchDirectory();
const size = 1 << 20;
const greetingBytes = 18;

let server: QmpServer;
let monitor: QmpClient;
let clients: ConnectionEnd[];

beforeEach(async () => {
  clients = [];
  server = new QmpServer({
    platform: nodePlatform,
    drivers,
    commands: withObjectOptions(storageDaemonCommands),
    objectTypes: hostObjectTypes,
    beforeEnd: closeExports,
  });
  monitor = await connectClient(server);
  await monitor.run('blockdev-add', { driver: 'memory', 'node-name': 'n', size });
});

afterEach(async () => {
  for (const { connection } of clients) connection.close();
  await server.stop();
  await server.close();
});

async function exported(): Promise<{ id: string; type: string }[]> {
  return (await monitor.run('query-block-exports')) as unknown as { id: string; type: string }[];
}

function addressOf(name: string): object {
  return { type: 'unix', path: scratch(name) };
}

/** Over the socket `ws`, unless `more` says otherwise. */
function add(id: string, more: object = {}): Promise<unknown> {
  return monitor.run('block-export-add', {
    type: 'nbd-ws',
    id,
    'node-name': 'n',
    writable: true,
    addr: addressOf('ws'),
    ...more,
  });
}

async function connect(path = '/', name = 'ws'): Promise<ConnectionEnd> {
  const client = new ConnectionEnd(await connectWebSocket(`ws+unix://${scratch(name)}:${path}`)).start();
  clients.push(client);
  await client.has(greetingBytes);
  return client;
}

/** Chooses the export; what is answered to `asked` then, of `bytes`. */
async function ask(client: ConnectionEnd, asked: Uint8Array, bytes: number): Promise<Buffer> {
  client.connection.write(Buffer.concat([hello(), option(Option.go, infoFor(''))]));
  // Block sizes, size and flags, and the end.
  const chosen = greetingBytes + 20 + 14 + 20 + 12 + 20;
  await client.has(chosen);
  client.connection.write(asked);
  return (await client.has(chosen + bytes)).subarray(chosen);
}

describe('an export over WebSockets', () => {
  test('is read and written through the only name there is, the empty one', async () => {
    await add('e');
    const data = Buffer.alloc(512, 7);
    const written = await ask(await connect(), request(Command.write, 4096, 512, { data }), 16);
    expect(written.readUInt32BE(4)).toBe(0);
    const read = await ask(await connect(), request(Command.read, 4096, 512), 16 + 512);
    expect(read.subarray(16).equals(data)).toBe(true);
  });

  test('is one of several of an address, each under its path', async () => {
    await monitor.run('blockdev-add', { driver: 'null-co', 'node-name': 'zeros', size, 'read-zeroes': true });
    await add('e', { path: '/e' });
    await add('zeros', { path: '/zeros', 'node-name': 'zeros' });
    await ask(await connect('/e'), request(Command.write, 0, 512, { data: Buffer.alloc(512, 7) }), 16);
    const read = await ask(await connect('/zeros'), request(Command.read, 0, 512), 16 + 512);
    expect(read[16]).toBe(0);
    await expect(connect('/other')).rejects.toThrow('404');
    await monitor.run('block-export-del', { id: 'e', mode: 'hard' });
    await expect(connect('/e')).rejects.toThrow('404');
    await connect('/zeros');
  });

  test('lets its clients go, chosen or not, and nobody in, when it is removed by force', async () => {
    await add('e');
    const [chosen, waiting] = [await connect(), await connect()];
    await ask(chosen, request(Command.flush, 0, 0), 16);
    await expect(monitor.run('block-export-del', { id: 'e' })).rejects.toThrow("export 'e' still in use");
    const deleted = new Promise((resolve) => void monitor.on('BLOCK_EXPORT_DELETED', resolve));
    await monitor.run('block-export-del', { id: 'e', mode: 'hard' });
    await Promise.all([chosen.whenOver, waiting.whenOver, deleted]);
    await expect(connect()).rejects.toThrow('No such file or directory');
    expect(await exported()).toEqual([]);
    await add('e');
    await connect();
  });

  test('has nothing to do with the NBD server, and is told apart', async () => {
    await add('ws');
    await monitor.run('nbd-server-start', { addr: { type: 'unix', data: { path: scratch('nbd') } } });
    await monitor.run('block-export-add', { type: 'nbd', id: 'nbd', 'node-name': 'n' });
    const told = (): Promise<unknown> => exported().then((all) => all.map(({ id, type }) => [id, type]));
    expect(await told()).toEqual([
      ['nbd', 'nbd'],
      ['ws', 'nbd-ws'],
    ]);
    await expect(monitor.run('nbd-server-remove', { name: 'ws' })).rejects.toThrow(
      "Block export 'ws' is not an NBD export",
    );
    await monitor.run('nbd-server-stop');
    expect(await told()).toEqual([['ws', 'nbd-ws']]);
    await connect();
  });

  test('ends with the program', async () => {
    await add('e');
    const client = await connect();
    await server.stop();
    await client.whenOver;
    await expect(connect()).rejects.toThrow('No such file or directory');
  });

  test.skipIf(!haveOpenssl)('speaks TLS where it has credentials, and nothing else', async () => {
    const maker = new CertificateMaker(scratch('certificates'));
    const authority = maker.make({ subject: '/CN=authority', extensions: authorityExtensions });
    const identity = maker.make({ subject: '/CN=localhost', extensions: serverExtensions }, authority);
    const dir = maker.directoryOf(authority, 'server', identity);
    const tls = { 'qom-type': 'tls-creds-x509', id: 'tls', dir, endpoint: 'server' };
    await monitor.run('object-add', { ...tls, 'verify-peer': false });
    const port = await freePort();
    const addr = { type: 'inet', host: '127.0.0.1', port: String(port) };
    await add('e', { addr, 'tls-creds': 'tls' });
    const ca = readFileSync(authority.cert);
    const secure = new WebSocket(`wss://127.0.0.1:${port}/`, 'binary', { ca });
    const [greeting] = (await once(secure, 'message')) as [Buffer];
    expect(greeting.toString('latin1')).toMatch(/^NBDMAGIC/);
    await expect(connectWebSocket(`ws://127.0.0.1:${port}/`)).rejects.toThrow('Failed to connect');
    await expect(connectWebSocket(`wss://127.0.0.1:${port}/`)).rejects.toThrow('certificate');
    await expect(add('f', { addr, path: '/f', 'tls-creds': 'none' })).rejects.toThrow(
      "No TLS credentials with id 'none'",
    );
    secure.terminate();
  });

  test.skipIf(!haveOpenssl)('is a disk of ours by TLS, for who is known and knows the server', async () => {
    const maker = new CertificateMaker(scratch('mutual'));
    const authority = maker.make({ subject: '/CN=authority', extensions: authorityExtensions });
    const identity = maker.make({ subject: '/CN=server', extensions: serverExtensions }, authority);
    const guest = maker.make({ subject: '/CN=guest', extensions: clientExtensions }, authority);
    const itself = maker.make({ subject: '/CN=itself', extensions: serverExtensions });
    const objects: Readonly<Record<string, object>> = {
      server: { dir: maker.directoryOf(authority, 'server', identity), endpoint: 'server' },
      client: { dir: maker.directoryOf(authority, 'client', guest) },
      stranger: { dir: maker.directoryOf(authority, 'client') },
      lone: {
        dir: maker.directoryOf(itself, 'server', itself),
        ...{ endpoint: 'server', 'verify-peer': false, 'sanity-check': false },
      },
      // Whose own certificate is all that it trusts.
      truster: { dir: maker.directoryOf(itself, 'client'), 'sanity-check': false },
      careless: { dir: maker.directoryOf(authority, 'client'), 'verify-peer': false },
    };
    for (const [id, object] of Object.entries(objects))
      await monitor.run('object-add', { 'qom-type': 'tls-creds-x509', id, ...object });
    const open = async (id: string, server: object, more: object): Promise<string> => {
      try {
        await monitor.run('blockdev-add', { driver: 'nbd', 'node-name': id, server, ...more });
        await monitor.run('blockdev-del', { 'node-name': id });
        return 'opened';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const urls: string[] = [];
    for (const id of ['server', 'lone']) {
      const port = String(await freePort());
      await add(id, { addr: { type: 'inet', host: '127.0.0.1', port }, 'tls-creds': id });
      urls.push(`wss://127.0.0.1:${port}/`);
    }
    const [mutual = '', alone = ''] = urls;
    const failed = (url: string, reason: string): string => `Failed to connect to '${url}': ${reason}`;
    for (const [url, options, outcome] of [
      [mutual, { 'tls-creds': 'client' }, 'opened'],
      [mutual, { 'tls-creds': 'client', 'tls-hostname': 'localhost' }, 'opened'],
      [
        mutual,
        { 'tls-creds': 'client', 'tls-hostname': 'other' },
        failed(mutual, 'Certificate does not match the hostname other'),
      ],
      [alone, { 'tls-creds': 'client' }, failed(alone, "The certificate hasn't got a known issuer")],
      [alone, { 'tls-creds': 'truster' }, 'opened'],
      [alone, { 'tls-creds': 'careless', 'tls-hostname': 'other' }, 'opened'],
      [mutual, { 'tls-creds': 'none' }, "No TLS credentials with id 'none'"],
      [mutual, { 'tls-creds': 'server' }, 'Expected TLS credentials for a client endpoint'],
      [
        mutual.replace('wss', 'ws'),
        { 'tls-creds': 'client' },
        `TLS cannot be spoken through '${mutual.replace('wss', 'ws')}', but by 'wss:'`,
      ],
    ] as const)
      expect([options, await open('d', { type: 'ws', url }, options)]).toEqual([options, outcome]);
    const refused = await open('d', { type: 'ws', url: mutual }, { 'tls-creds': 'stranger' });
    expect(refused).toContain('Failed to connect');
  });

  test.each<[string, object, string]>([
    ['another has its path', {}, "There is an export under path '/' of this address already"],
    ['another has its id', { id: 'e', path: '/2' }, "Block export id 'e' is already in use"],
    [
      'nobody can listen there',
      { addr: { type: 'unix', path: '/nowhere/ws' } },
      'Failed to bind socket to /nowhere/ws',
    ],
    ['it is said nowhere where', { addr: undefined }, "Parameter 'addr' is missing"],
    ['its path is none', { path: 'disk' }, "Parameter 'path' expects a path of a URL, such as '/disk'"],
    [
      'its path has a query',
      { path: '/disk?x' },
      "Parameter 'path' expects a path of a URL, such as '/disk'",
    ],
    ['its path is none that a URL has', { path: '/a/../b' }, "Parameter 'path' expects a path of a URL"],
    ['an origin is none', { path: '/2', origins: ['example.org'] }, "'example.org' is not an origin"],
    [
      'an origin has a path',
      { path: '/2', origins: ['https://example.org/'] },
      "'https://example.org/' is not an origin",
    ],
    ['a bitmap is none', { path: '/2', bitmaps: ['b'] }, "Bitmap 'b' is not found"],
  ])('is refused when %s, and leaves nothing', async (_, more, message) => {
    await add('e');
    const references = server.graph.findNode('n')!.references; // it was added
    await expect(add('f', more)).rejects.toThrow(message);
    expect(server.graph.findNode('n')!.references).toBe(references); // the same
    expect((await exported()).map(({ id }) => id)).toEqual(['e']);
    await connect();
  });
});
