/**
 * TLS of the NBD server: real clients get in, or are refused, as they are by qemu-nbd, and the server says the same of them.
 * Who breaks the handshake or does not go on with it loses his own connection and nothing else.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { drivers } from '../../../host/drivers.ts';
import { closeExports, exportsOf } from '../../../host/exports/block-exports.ts';
import { createGraph } from '../../../host/graph.ts';
import { Option } from '../../../host/nbd/constants.ts';
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
  const socket = scratch(`ours${++count}.sock`);
  const { handshakeMaxSeconds = 10, authz } = settings;
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
