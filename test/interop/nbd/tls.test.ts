/**
 * TLS of the NBD server: real clients get in, or are refused, as they are by qemu-nbd, and the server says the same of them.
 * Who breaks the handshake or does not go on with it loses his own connection and nothing else. And of the client: it takes and
 * refuses the servers that QEMU's does, in the same words.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { asBlockError } from '../../../host/base/errors.ts';
import { BlockBackend } from '../../../host/block/backend.ts';
import type { NodeOptions } from '../../../host/block/options.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { drivers } from '../../../host/drivers.ts';
import { closeExports, exportsOf } from '../../../host/exports/block-exports.ts';
import { createGraph } from '../../../host/graph.ts';
import { initMagic, Option, optionMagic, optionReplyMagic } from '../../../host/nbd/constants.ts';
import { MessageBuilder } from '../../../host/nbd/fields.ts';
import { hostObjectTypes } from '../../../host/objects/host-types.ts';
import { UserObjects } from '../../../host/objects/user-objects.ts';
import { nodePlatform } from '../../../host/platform/node/index.ts';
import {
  authorityExtensions,
  CertificateMaker,
  clientExtensions,
  serverExtensions,
  writeDhParameters,
} from '../../support/certificates.ts';
import { hello, infoFor, option } from '../../support/nbd-messages.ts';
import { run } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveLibnbd, haveOpenssl, haveQemu } from '../../support/tools.ts';

const scratch = scratchDirectory();
const execute = promisify(execFile);

type ObjectOptions = { 'qom-type': string; id: string; [option: string]: unknown };

/** Directories of credentials, by what is in them. */
let directories: Record<'server' | 'client' | 'stranger' | 'nobody' | 'keys' | 'otherKeys', string>;
let image: string;

beforeAll(() => {
  if (!haveOpenssl) return;
  const maker = new CertificateMaker(scratch('made'));
  const [ca, otherCa] = ['/CN=CA', '/CN=Other'].map((subject) =>
    maker.make({ subject, extensions: authorityExtensions }),
  ) as [ReturnType<typeof maker.make>, ReturnType<typeof maker.make>];
  const name = '/C=DE/O=a\\, b/CN=one "two" ü';
  const server = maker.make({ subject: '/CN=localhost', extensions: serverExtensions }, ca);
  const client = maker.make({ subject: name, extensions: clientExtensions }, ca);
  const stranger = maker.make({ subject: name, extensions: clientExtensions }, otherCa);
  const [keys, otherKeys] = [scratch('keys'), scratch('other')];
  for (const [directory, text] of [
    [keys, 'alice:00112233445566778899aabbccddeeff\n'],
    [otherKeys, 'alice:ff112233445566778899aabbccddeeff\nbob:00112233445566778899aabbccddeeff\n'],
  ] as const) {
    mkdirSync(directory);
    writeFileSync(`${directory}/keys.psk`, text);
    writeDhParameters(directory);
  }
  directories = {
    server: maker.directoryOf(ca, 'server', server),
    client: maker.directoryOf(ca, 'client', client),
    stranger: maker.directoryOf(otherCa, 'client', stranger),
    nobody: maker.directoryOf(ca, 'client'),
    keys,
    otherKeys,
  };
  image = scratch('disk.raw');
  writeFileSync(image, Buffer.from(Array.from({ length: 1 << 20 }, (_, at) => (at >> 8) % 251)));
});

interface Served {
  readonly socket: string;
  /** What the server has said, a line each, without its name. */
  readonly said: string[];
}

interface Settings {
  readonly objects: readonly ObjectOptions[];
  readonly authz?: string | undefined;
  readonly handshakeMaxSeconds?: number;
  /** Absent: one of its own. */
  readonly socket?: string;
}

let count = 0;

/** Ours, in this process, until `use` is done. */
async function served<T>(settings: Settings, use: (served: Served) => Promise<T>): Promise<T> {
  const said: string[] = [];
  const console = { ...nodePlatform.console, error: (message: string) => void said.push(message) };
  const graph = createGraph({ platform: { ...nodePlatform, console }, drivers });
  const objects = new UserObjects({ graph }, hostObjectTypes);
  for (const one of settings.objects) await objects.add(one);
  const node = await graph.open({ driver: 'raw', file: { driver: 'file', filename: image } });
  const { handshakeMaxSeconds = 10, authz, socket = scratch(`ours${++count}.sock`) } = settings;
  await exportsOf(graph).startServer(
    { type: 'unix', path: socket },
    { maxConnections: 0, handshakeMaxSeconds, tlsCreds: 'tls', tlsAuthz: authz },
  );
  await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
  try {
    return await use({ socket, said });
  } finally {
    await closeExports(graph);
    await graph.unref(node);
  }
}

/** qemu-nbd, until `use` is done. */
async function servedByQemu<T>(settings: Settings, use: (served: Served) => Promise<T>): Promise<T> {
  const socket = scratch(`theirs${++count}.sock`);
  const objects = settings.objects.flatMap((one) => ['--object', JSON.stringify(one)]);
  const authz = settings.authz === undefined ? [] : ['--tls-authz', settings.authz];
  const args = [
    '-t',
    '-e',
    '0',
    '-k',
    socket,
    ...objects,
    '--tls-creds',
    'tls',
    ...authz,
    '-f',
    'raw',
    image,
  ];
  const child = spawn('qemu-nbd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said: string[] = [];
  // A line comes in pieces.
  let text = '';
  child.stderr.on('data', (piece) => {
    text += piece;
    said.splice(0, said.length, ...(text.match(/.+(?=\n)/g) ?? []));
  });
  try {
    await vi.waitUntil(() => existsSync(socket), { timeout: 10_000, interval: 10 });
    return await use({ socket, said });
  } finally {
    if (child.kill()) await once(child, 'close');
    said.splice(0, said.length, ...said.map((line) => line.replace('qemu-nbd: ', '')));
  }
}

const x509 = (directory: keyof typeof directories, more: object = {}): ObjectOptions => ({
  'qom-type': 'tls-creds-x509',
  id: 'tls',
  endpoint: directory === 'server' ? 'server' : 'client',
  dir: directories[directory],
  ...more,
});
const psk = (endpoint: 'client' | 'server', more: object = {}): ObjectOptions => ({
  'qom-type': 'tls-creds-psk',
  id: 'tls',
  endpoint,
  dir: directories.keys,
  ...more,
});
const anonymous = (endpoint: 'client' | 'server'): ObjectOptions => ({
  'qom-type': 'tls-creds-anon',
  id: 'tls',
  endpoint,
  dir: directories.keys,
});
const simple = (identity: string): ObjectOptions => ({ 'qom-type': 'authz-simple', id: 'a', identity });
const name = 'C=DE,O=a\\, b,CN=one \\"two\\" ü';
const only12 = { priority: 'NORMAL:-VERS-TLS1.3' };

/** Whether real QEMU gets a list of exports. */
async function listsExports(socket: string, client: ObjectOptions | undefined): Promise<boolean> {
  const tls = client && [
    ...['--object', JSON.stringify(client), '--tls-creds', 'tls'],
    ...(client['qom-type'] === 'tls-creds-x509' ? ['--tls-hostname', 'localhost'] : []),
  ];
  const listed = execute('qemu-nbd', ['-L', '-k', socket, ...(tls ?? [])]);
  return listed.then(
    ({ stdout }) => stdout.startsWith('exports available: 1'),
    () => false,
  );
}

/** Name, the server's objects, the client's, and what else the server has. Objects are made late: directories are. */
const meetings: readonly [
  string,
  () => readonly ObjectOptions[],
  () => ObjectOptions | undefined,
  string?,
][] = [
  ['a certificate', () => [x509('server')], () => x509('client')],
  ['a certificate, by TLS 1.2', () => [x509('server')], () => x509('client', only12)],
  ['a server that speaks TLS 1.2 alone', () => [x509('server', only12)], () => x509('client')],
  [
    'no common version',
    () => [x509('server', only12)],
    () => x509('client', { priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.3' }),
  ],
  ['no certificate', () => [x509('server')], () => x509('nobody')],
  ['no certificate, by TLS 1.2', () => [x509('server')], () => x509('nobody', only12)],
  [
    'no certificate where none is asked for',
    () => [x509('server', { 'verify-peer': false })],
    () => x509('nobody'),
  ],
  ['one of another authority', () => [x509('server')], () => x509('stranger', { 'verify-peer': false })],
  ['no TLS', () => [x509('server')], () => undefined],
  ['who may', () => [x509('server'), simple(name)], () => x509('client'), 'a'],
  ['who may not', () => [x509('server'), simple('CN=x')], () => x509('client'), 'a'],
  ['who may not, by TLS 1.2', () => [x509('server'), simple('CN=x')], () => x509('client', only12), 'a'],
  ['whoever, where the object is missing', () => [x509('server')], () => x509('client'), 'a'],
  [
    'whoever, where the object is another',
    () => [x509('server'), { 'qom-type': 'secret', id: 'a', data: 'x' }],
    () => x509('client'),
    'a',
  ],
  [
    'who is on a list',
    () => [
      x509('server'),
      {
        'qom-type': 'authz-list',
        id: 'a',
        rules: [
          { match: 'C=FR*', policy: 'deny', format: 'glob' },
          { match: 'C=D?,O=*', policy: 'allow', format: 'glob' },
        ],
      },
    ],
    () => x509('client'),
    'a',
  ],
  ['a key', () => [psk('server')], () => psk('client', { username: 'alice' })],
  ['a key, by TLS 1.2', () => [psk('server')], () => psk('client', { username: 'alice', ...only12 })],
  [
    'another key',
    () => [psk('server')],
    () => psk('client', { username: 'alice', dir: directories.otherKeys }),
  ],
  ['a certificate in place of a key', () => [psk('server')], () => x509('client')],
  ['nobody in particular', () => [anonymous('server')], () => anonymous('client')],
];

describe.skipIf(!haveQemu || !haveOpenssl)('clients of QEMU with', () => {
  test.each(meetings)('%s', async (_, objects, client, authz) => {
    const meet = async ({ socket, said }: Served): Promise<{ enters: boolean; said: string[] }> => {
      const enters = await listsExports(socket, client());
      if (!enters && client()) await vi.waitUntil(() => said.length > 0, { timeout: 5000, interval: 10 });
      return { enters, said };
    };
    const settings = { objects: objects(), authz };
    expect(await served(settings, meet)).toEqual(await servedByQemu(settings, meet));
  });
});

describe.skipIf(!haveQemu || !haveOpenssl || !haveLibnbd)('what is read and written through TLS', () => {
  test('by libnbd, with certificates and with keys', async () => {
    const certificates = `localhost/?tls-certificates=${directories.client}`;
    const keys = `alice@/?tls-psk-file=${directories.keys}/keys.psk`;
    for (const [objects, uri] of [
      [[x509('server')], certificates],
      [[psk('server')], keys],
    ] as const) {
      await served({ objects }, async ({ socket }) => {
        const copy = scratch('copy.raw');
        rmSync(copy, { force: true });
        await execute('nbdcopy', [`nbds+unix://${uri}&socket=${socket}`, copy]);
        expect(readFileSync(copy).equals(readFileSync(image))).toBe(true);
      });
    }
  });

  test('by QEMU', async () => {
    const before = readFileSync(image);
    await served({ objects: [x509('server')] }, async ({ socket, said }) => {
      const options = {
        driver: 'nbd',
        server: { type: 'unix', path: socket },
        'tls-creds': 'tls',
        'tls-hostname': 'localhost',
      };
      const commands = ['write -P 9 5k 300k', 'flush', 'read -P 9 5k 300k'].flatMap((one) => ['-c', one]);
      const object = ['--object', JSON.stringify(x509('client'))];
      const { stdout } = await execute('qemu-io', [
        ...object,
        ...commands,
        `json:${JSON.stringify(options)}`,
      ]);
      expect(stdout).not.toMatch(/fail/i);
      expect(said).toEqual([]);
    });
    run('qemu-io', '-f', 'raw', '-c', 'read -P 9 5k 300k', image);
    writeFileSync(image, before);
  });
});

/** A client that asks for TLS and then does what it likes. */
async function startTls(socket: string, ...then: readonly Uint8Array[]): Promise<{ end: Promise<unknown> }> {
  const client = connect(socket);
  client.on('error', () => {});
  client.resume();
  const end = once(client, 'close');
  client.write(Buffer.concat([hello(), option(Option.startTls)]));
  await delay(20);
  for (const bytes of then) client.write(bytes);
  return { end };
}

describe.skipIf(!haveOpenssl)('a client that asks for TLS', () => {
  test('and does not go on is let go in time, and others come in meanwhile', async () => {
    await served({ objects: [psk('server')], handshakeMaxSeconds: 0.5 }, async ({ socket, said }) => {
      const slow = await startTls(socket);
      if (haveQemu) expect(await listsExports(socket, psk('client', { username: 'alice' }))).toBe(true);
      await slow.end;
      expect(said).toEqual(['option negotiation failed: handshake took too long']);
    });
  });

  test('and says something else is let go', async () => {
    await served({ objects: [psk('server')] }, async ({ socket, said }) => {
      await (await startTls(socket, option(Option.list))).end;
      expect(said).toEqual([
        'option negotiation failed: TLS handshake failed: An unexpected TLS packet was received.',
      ]);
    });
  });

  test('and goes on in the clear at once is let go before that is looked at', async () => {
    await served({ objects: [psk('server')] }, async ({ socket, said }) => {
      const client = connect(socket);
      client.on('error', () => {});
      client.resume();
      client.write(Buffer.concat([hello(), option(Option.startTls), option(Option.go, infoFor(''))]));
      await once(client, 'close');
      expect(said).toEqual([
        'option negotiation failed: data sent in the clear behind the option that starts TLS',
      ]);
    });
  });

  test('is cut off with the server', async () => {
    const slow = await served({ objects: [psk('server')] }, ({ socket }) => startTls(socket));
    await slow.end;
  });
});

/** What a client of ours reads first, or why it cannot; with further lines where there are some. */
async function openOurs(options: NodeOptions, objects: readonly ObjectOptions[]): Promise<string> {
  const graph = createGraph({ platform: nodePlatform, drivers });
  const made = new UserObjects({ graph }, hostObjectTypes);
  try {
    for (const one of objects) await made.add(one);
    const node = await graph.open(options);
    await graph.unref(node);
    return '';
  } catch (error) {
    const { message, hint = '' } = asBlockError(error);
    return `${message}\n${hint}`.trim();
  }
}

/** The same of real QEMU. */
async function openTheirs(options: NodeOptions, objects: readonly ObjectOptions[]): Promise<string> {
  const given = objects.flatMap((one) => ['--object', JSON.stringify(one)]);
  const name = `json:${JSON.stringify(options)}`;
  try {
    await execute('qemu-img', ['info', ...given, name]);
    return '';
  } catch (error) {
    const { stderr } = error as { stderr: string };
    return stderr.replace('qemu-img: ', '').replace(`Could not open '${name}': `, '').trim();
  }
}

/** Name, the server's objects, the client's, and what else is said of the server. */
const visits: readonly [
  string,
  () => ObjectOptions,
  () => readonly ObjectOptions[],
  Record<string, string>,
][] = [
  ['a certificate', () => x509('server'), () => [x509('client')], { 'tls-hostname': 'localhost' }],
  ['TLS 1.2', () => x509('server', only12), () => [x509('client')], { 'tls-hostname': 'LocalHost' }],
  ['an address in it', () => x509('server'), () => [x509('client')], { 'tls-hostname': '127.0.0.1' }],
  ['another name', () => x509('server'), () => [x509('client')], { 'tls-hostname': 'other' }],
  ['a part of the name', () => x509('server'), () => [x509('client')], { 'tls-hostname': 'local' }],
  ['no name', () => x509('server'), () => [x509('client')], {}],
  ['an empty name', () => x509('server'), () => [x509('client')], { 'tls-hostname': '' }],
  ['another authority', () => x509('server'), () => [x509('stranger')], { 'tls-hostname': 'localhost' }],
  [
    'another authority, which is not looked at',
    () => x509('server', { 'verify-peer': false }),
    () => [x509('stranger', { 'verify-peer': false })],
    {},
  ],
  ['a key', () => psk('server'), () => [psk('client', { username: 'alice' })], {}],
  ['a key, by TLS 1.2', () => psk('server', only12), () => [psk('client', { username: 'alice' })], {}],
  ['nobody in particular', () => anonymous('server'), () => [anonymous('client')], {}],
  ['no credentials', () => x509('server'), () => [], {}],
  ['credentials of a server', () => x509('server'), () => [x509('server')], { 'tls-hostname': 'localhost' }],
  ['no object', () => x509('server'), () => [], { 'tls-creds': 'zz' }],
  ['another object', () => x509('server'), () => [simple('x')], { 'tls-creds': 'a' }],
];

describe.skipIf(!haveQemu || !haveOpenssl)('servers of QEMU with', () => {
  const optionsOf = (path: string, objects: readonly ObjectOptions[], more: object): NodeOptions => ({
    driver: 'nbd',
    server: { type: 'unix', path },
    ...(objects.some(({ id }) => id === 'tls') ? { 'tls-creds': 'tls' } : {}),
    ...more,
  });

  test.each(visits)('%s', async (_, server, client, more) => {
    const objects = client();
    await servedByQemu({ objects: [server()] }, async ({ socket }) => {
      const options = optionsOf(socket, objects, more);
      expect(await openOurs(options, objects)).toBe(await openTheirs(options, objects));
    });
  });

  test('no TLS', async () => {
    const socket = scratch('plain.sock');
    const child = spawn('qemu-nbd', ['-t', '-k', socket, '-f', 'raw', image], { stdio: 'ignore' });
    try {
      await vi.waitUntil(() => existsSync(socket), { timeout: 10_000, interval: 10 });
      const objects = [x509('client')];
      const options = optionsOf(socket, objects, { 'tls-hostname': 'localhost' });
      expect(await openOurs(options, objects)).toBe(await openTheirs(options, objects));
    } finally {
      if (child.kill()) await once(child, 'close');
    }
  });
});

/** A server that says this at once, and this when TLS has been asked for. */
async function sayingServer(
  greeting: Uint8Array,
  answer: Uint8Array,
): Promise<NodeOptions & { stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(greeting);
    let heard = 0;
    socket.on('data', ({ length }) => {
      heard += length;
      if (heard === 4 + 16) socket.write(answer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on a port
  return {
    driver: 'nbd',
    server: { type: 'inet', host: '127.0.0.1', port: `${port}` },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on a port
  server.close();
  await once(server, 'close');
  return `${port}`;
}

describe.skipIf(!haveOpenssl)('our client', () => {
  const greeting = new MessageBuilder().words(initMagic).words(optionMagic).u16(3).done();
  const acknowledged = new MessageBuilder().words(optionReplyMagic).u32(Option.startTls).u32(1).u32(0).done();

  test('with a key does not take a server that has a certificate in its place', async () => {
    await served({ objects: [x509('server', { 'verify-peer': false })] }, async ({ socket }) => {
      const options = { driver: 'nbd', server: { type: 'unix', path: socket }, 'tls-creds': 'tls' };
      const said = await openOurs(options, [psk('client', { username: 'alice' })]);
      expect(said).toBe('TLS handshake failed: Insufficient credentials for that request.');
    });
  });

  test('with another key than the server is refused', async () => {
    await served({ objects: [psk('server')] }, async ({ socket }) => {
      const options = { driver: 'nbd', server: { type: 'unix', path: socket }, 'tls-creds': 'tls' };
      for (const username of ['alice', 'bob']) {
        const said = await openOurs(options, [psk('client', { username, dir: directories.otherKeys })]);
        expect(said).toMatch(/^TLS handshake failed: /);
      }
    });
  });

  test('does not look at what is said in the clear behind the answer that starts TLS', async () => {
    const said = Buffer.concat([acknowledged, acknowledged]);
    const { stop, ...options } = await sayingServer(greeting, said);
    const objects = [psk('client', { username: 'alice' })];
    expect(await openOurs({ ...options, 'tls-creds': 'tls' }, objects)).toBe(
      'Data sent in the clear behind the answer that starts TLS',
    );
    stop();
  });

  test('says so when the server goes away in place of TLS', async () => {
    const { stop, ...options } = await sayingServer(greeting, acknowledged);
    const opening = openOurs({ ...options, 'tls-creds': 'tls' }, [psk('client', { username: 'alice' })]);
    await delay(50);
    stop();
    expect(await opening).toBe('TLS handshake failed: The TLS connection was non-properly terminated.');
  });

  test('takes the host that it connects to for the name of the server', async () => {
    const graph = createGraph({ platform: nodePlatform, drivers });
    await new UserObjects({ graph }, hostObjectTypes).add(x509('server'));
    const node = await graph.open({ driver: 'null-co', size: 1 << 20 });
    const port = await freePort();
    await exportsOf(graph).startServer(
      { type: 'inet', host: '127.0.0.1', port },
      { maxConnections: 0, handshakeMaxSeconds: 10, tlsCreds: 'tls' },
    );
    await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
    const options = { driver: 'nbd', server: { type: 'inet', host: '127.0.0.1', port }, 'tls-creds': 'tls' };
    expect(await openOurs(options, [x509('client')])).toBe('');
    expect(await openOurs({ ...options, 'tls-hostname': 'zz' }, [x509('client')])).toBe(
      'Certificate does not match the hostname zz',
    );
    await closeExports(graph);
    await graph.unref(node);
  });

  test('reads, writes and comes back when its server does', async () => {
    const everything = { perm: Perm.consistentRead | Perm.write, shared: Perm.all };
    const before = readFileSync(image);
    const graph = createGraph({ platform: nodePlatform, drivers });
    await new UserObjects({ graph }, hostObjectTypes).add(x509('client'));
    const socket = scratch('again.sock');
    const options: NodeOptions = {
      driver: 'nbd',
      server: { type: 'unix', path: socket },
      'tls-creds': 'tls',
      'tls-hostname': 'localhost',
      'reconnect-delay': 30,
    };
    const settings = { objects: [x509('server')], socket };
    const data = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 249));
    const node = await served(settings, async () => {
      const opened = await graph.open(options);
      const backend = await BlockBackend.attach(opened, { name: '', description: '', ...everything });
      await backend.write(5_000, data);
      return { opened, backend };
    });
    const read = Buffer.alloc(data.length);
    const reading = node.backend.read(5_000, read);
    await served(settings, async () => {
      await reading;
      await node.backend.flush();
    });
    expect(read.equals(data)).toBe(true);
    await node.backend.close();
    await graph.unref(node.opened);
    writeFileSync(image, before);
  });
});
