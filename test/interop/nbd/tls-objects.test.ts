/**
 * Objects for TLS, secrets and authorization: QEMU's storage daemon and ours take the same, and refuse the same in the same
 * words, file by file and certificate by certificate.
 */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  authorityExtensions,
  CertificateMaker,
  clientExtensions,
  type Identity,
  openssl,
  serverExtensions,
  writeDhParameters,
} from '../../support/certificates.ts';
import {
  type Message,
  type QmpSession,
  runScript,
  startOurs,
  startStorageDaemon,
} from '../../support/qmp-sessions.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveOpenssl, haveQemu } from '../../support/tools.ts';

const scratch = scratchDirectory();

type Options = Readonly<Record<string, unknown>>;

async function answersOf(session: QmpSession, commands: readonly Message[]): Promise<Message[]> {
  try {
    return await runScript(session, commands);
  } finally {
    await session.close();
  }
}

async function expectSame(commands: readonly Message[]): Promise<void> {
  const [theirs, ours] = await Promise.all([
    answersOf(startStorageDaemon(scratch('')), commands),
    answersOf(startOurs(scratch('')), commands),
  ]);
  const told = (answers: readonly Message[]): unknown[] =>
    answers.slice(1).map((answer, index) => [commands[index], answer]);
  expect(told(ours)).toEqual(told(theirs));
}

const add = (type: string, options: Options, id = 'x'): Message => ({
  execute: 'object-add',
  arguments: { 'qom-type': type, id, ...options },
});
const remove = (id = 'x'): Message => ({ execute: 'object-del', arguments: { id } });
/** Made and gone again: the next one has the same name. */
const each = (type: string, all: readonly Options[]): Message[] =>
  all.flatMap((options) => [add(type, options), remove()]);
const list: Message = { execute: 'qom-list', arguments: { path: '/objects/x' } };
const get = (property: string): Message => ({
  execute: 'qom-get',
  arguments: { path: '/objects/x', property },
});
const set = (property: string, value: unknown): Message[] => [
  { execute: 'qom-set', arguments: { path: '/objects/x', property, value } },
  get(property),
];

describe.skipIf(!haveQemu || !haveOpenssl)('objects', () => {
  test('secrets', async () => {
    writeFileSync(scratch('password'), 'secret\n');
    writeFileSync(scratch('bytes'), Buffer.from([0xff, 0, 0x61]));
    const keyBytes = Buffer.from(Array.from({ length: 32 }, (_, at) => at));
    const key = { data: keyBytes.toString('base64'), format: 'base64' };
    const iv = Buffer.alloc(16).toString('base64');
    // `hello`, and blocks whose last byte says that there are 17 and 200 bytes of padding.
    const encrypted = ['kWhEh8NMNFbrTpAc74hKHg==', 'JI0V3rZpP/jY8hlsHXnWRQ==', 'zfaaHaI4b1ta5JUzGIRKuA=='];
    const base64 = ['A', 'AA=', 'A===', 'AA==AA==', 'A-B_', ' AAAA', 'AAAA\n', '', '!'];
    const [one, ...others] = encrypted.map((data) => ({ data, format: 'base64', keyid: 'k', iv }));
    await expectSame([
      add('secret', key, 'k'),
      add('secret', { data: 'AAAA', format: 'base64' }, 'short'),
      add('authz-simple', { identity: 'x' }, 'other'),
      ...each('secret', [
        {},
        { data: 'abc', file: 'x' },
        { data: 'abc', format: 'zz' },
        { data: 'abc' },
        { file: scratch('password') },
        { file: '/nope' },
        { file: '/' },
        { file: scratch('bytes') },
        { file: scratch('bytes'), format: 'base64' },
        ...base64.map((data) => ({ data, format: 'base64' })),
        { data: 'abc', keyid: 'nope' },
        { data: 'abc', keyid: 'other' },
        { data: 'abc', iv: 'zz' },
        { ...one },
        ...others,
        { ...one, iv: undefined },
        { ...one, iv: 'zz' },
        { ...one, iv: 'AAAA' },
        { ...one, iv: '!!!!' },
        { ...one, keyid: 'short' },
        { ...one, format: 'raw' },
        { ...one, data: 'AAAA' },
        { ...one, data: '' },
      ]),
      add('secret', { ...one }),
      list,
      ...['data', 'file', 'format', 'iv', 'keyid', 'loaded'].map(get),
      ...set('data', 'zz'),
      ...set('format', 'raw'),
      ...set('format', 'zz'),
    ]);
  });

  test('authorization', async () => {
    const rules = [
      { match: 'x', policy: 'allow' },
      { match: 'y*', policy: 'deny', format: 'glob' },
    ];
    await expectSame([
      ...each('authz-simple', [{}, { identity: 'CN=x' }, { identity: 5 }]),
      ...each('authz-list', [
        {},
        { policy: 'zz' },
        { policy: 'deny', rules },
        { rules: [{ match: 'x' }] },
        { rules: [{ match: 'x', policy: 'allow', format: 'zz' }] },
      ]),
      ...each('authz-listfile', [{ filename: '/nope' }]),
      add('authz-list', { policy: 'deny', rules }),
      list,
      get('policy'),
      get('rules'),
      ...set('rules', []),
      ...set('rules', null),
      ...set('policy', 'allow'),
      remove(),
      add('authz-simple', { identity: 'CN=x' }),
      list,
      ...set('identity', 'CN=y'),
    ]);
  });

  test('keys that both sides know', async () => {
    const directory = scratch('psk');
    mkdirSync(directory);
    const files = {
      empty: '',
      good: 'a:00\nqemu:00112233\nalice:AABBCCDDEE\n',
      short: 'qemu:00ff\n',
      odd: 'qemu:0011223\n',
      letters: 'qemu:zzzzzzzz\n',
      lines: 'qemu:00112233\r\n',
      prefix: 'qemux:00112233\n qemu:00112233\n#qemu:00112233\n',
    };
    const commands: Message[] = [];
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(scratch(`psk/${name}`));
      writeFileSync(scratch(`psk/${name}/keys.psk`), text);
      writeDhParameters(scratch(`psk/${name}`));
      const dir = scratch(`psk/${name}`);
      const server = { endpoint: 'server', dir };
      commands.push(...each('tls-creds-psk', [{ dir }, { dir, username: 'alice' }, server]));
    }
    const good = scratch('psk/good');
    await expectSame([
      ...commands,
      ...each('tls-creds-psk', [
        {},
        { endpoint: 'server' },
        { dir: '/nope' },
        { dir: '' },
        { dir: good, endpoint: 'server', username: 'alice' },
        { dir: good, endpoint: 'zz' },
      ]),
      ...each('tls-creds-anon', [{}, { endpoint: 'server', dir: good }, { zz: 1 }]),
      add('tls-creds-psk', { dir: good, priority: 'NORMAL', username: 'alice' }),
      list,
      ...['dir', 'endpoint', 'priority', 'verify-peer', 'username', 'loaded'].map(get),
      ...set('username', 'bob'),
      ...set('endpoint', 'server'),
    ]);
  });
});

describe.skipIf(!haveQemu || !haveOpenssl)('certificates', () => {
  let maker: CertificateMaker;
  let authority: Identity;
  beforeAll(() => {
    maker = new CertificateMaker(scratch('made'));
    authority = maker.make({ subject: '/CN=CA', extensions: authorityExtensions });
  });

  const [constraints, usage, purpose, names] = serverExtensions;

  const own = (...extensions: readonly (string | undefined)[]): Identity =>
    maker.make({ subject: '/CN=x', extensions: extensions.filter((one) => one !== undefined) }, authority);

  test('of ours', async () => {
    const server = (identity: Identity): Options => ({
      dir: maker.directoryOf(authority, 'server', identity),
      endpoint: 'server',
    });
    const expired = maker.make({ subject: '/CN=x', extensions: serverExtensions, days: -1 }, authority);
    const critical = 'extendedKeyUsage=critical,';
    const options = [
      own(...serverExtensions),
      own(),
      own('basicConstraints=critical,CA:TRUE'),
      own(constraints, usage, 'extendedKeyUsage=clientAuth'),
      own(constraints, usage, `${critical}clientAuth`),
      own(constraints, usage, `${critical}codeSigning,serverAuth`),
      own(constraints, 'keyUsage=critical,keyCertSign', purpose),
      own(constraints, 'keyUsage=keyCertSign', purpose),
      own(constraints, 'keyUsage=critical,digitalSignature', names),
      own(constraints, 'keyUsage=critical,keyEncipherment', names),
      expired,
    ].map(server);
    const client = (identity?: Identity): Options => ({
      dir: maker.directoryOf(authority, 'client', identity),
    });
    await expectSame([
      ...each('tls-creds-x509', options),
      ...each('tls-creds-x509', [
        { ...server(expired), 'sanity-check': false },
        { ...server(expired), 'verify-peer': false },
        client(),
        client(own(...clientExtensions)),
        client(own(constraints, usage, `${critical}serverAuth`)),
        { ...client(own(...clientExtensions)), endpoint: 'server' },
        {},
        { dir: '' },
        { dir: '/nope' },
        { ...options[0], endpoint: 'zz' },
        { ...options[0], zz: 1 },
        { ...options[0], passwordid: 'nope' },
      ]),
      add('tls-creds-x509', { ...options[0] }),
      list,
      ...['dir', 'endpoint', 'priority', 'verify-peer', 'sanity-check', 'passwordid', 'loaded'].map(get),
      ...set('verify-peer', false),
      ...set('dir', '/nope'),
    ]);
  });

  test('of authorities', async () => {
    const [basic, signs] = authorityExtensions;
    const make = (extensions: readonly (string | undefined)[], days = 5): Identity =>
      maker.make({ subject: '/CN=CA', extensions: extensions.filter((one) => one !== undefined), days });
    const authorities = [
      make([]),
      make(['basicConstraints=critical,CA:FALSE']),
      make([basic]),
      make([basic, 'keyUsage=critical,digitalSignature']),
      make([basic, 'keyUsage=digitalSignature']),
      make([basic, signs], -1),
    ];
    const options = authorities.map((ca) => ({
      dir: maker.directoryOf(
        ca,
        'server',
        maker.make({ subject: '/CN=x', extensions: serverExtensions }, ca),
      ),
      endpoint: 'server',
    }));
    const between = maker.make({ subject: '/CN=INT', extensions: authorityExtensions }, authority);
    const below = maker.make({ subject: '/CN=x', extensions: serverExtensions }, between);
    const [lacking, other] = [
      maker.directoryOf(authority, 'server', below),
      maker.directoryOf(
        maker.make({ subject: '/CN=CA', extensions: authorityExtensions }),
        'server',
        own(...serverExtensions),
      ),
    ];
    await expectSame(
      each('tls-creds-x509', [
        ...options,
        { dir: lacking, endpoint: 'server' },
        { dir: other, endpoint: 'server' },
        { dir: other, endpoint: 'server', 'sanity-check': false },
        { dir: maker.directoryOf(between, 'server', below), endpoint: 'server' },
      ]),
    );
  });

  test('in files that are wrong, and keys that are locked', async () => {
    const identity = own(...serverExtensions);
    const broken = (files: Readonly<Record<string, string | undefined>>, more: Options = {}): Options => {
      const dir = maker.directoryOf(authority, 'server', identity);
      for (const [name, text] of Object.entries(files)) {
        if (text === undefined) rmSync(`${dir}/${name}`);
        else writeFileSync(`${dir}/${name}`, text);
      }
      return { dir, endpoint: 'server', ...more };
    };
    const unchecked = { 'sanity-check': false };
    const locked = (password: string): Options => {
      const options = broken({});
      const path = `${String(options['dir'])}/server-key.pem`;
      openssl('pkcs8', '-topk8', '-in', identity.key, '-passout', `pass:${password}`, '-out', path);
      return { ...options, passwordid: 'p' };
    };
    const unreadable = broken({});
    chmodSync(`${String(unreadable['dir'])}/server-key.pem`, 0);
    await expectSame([
      add('secret', { data: 'right' }, 'p'),
      ...each('tls-creds-x509', [
        broken({ 'ca-cert.pem': 'zz' }),
        broken({ 'ca-cert.pem': '' }),
        broken({ 'server-cert.pem': 'zz' }),
        broken({ 'server-cert.pem': 'zz' }, unchecked),
        broken({ 'server-cert.pem': 'zz', 'ca-cert.pem': 'zz' }),
        broken({ 'server-key.pem': 'zz' }),
        broken({ 'server-key.pem': undefined }),
        broken({ 'server-cert.pem': undefined }),
        broken({ 'ca-cert.pem': undefined }),
        broken({ 'ca-cert.pem': undefined }, { 'verify-peer': false }),
        broken({ 'ca-crl.pem': 'zz' }),
        broken({ 'dh-params.pem': 'zz' }),
        locked('right'),
        locked('wrong'),
        { ...locked('right'), passwordid: undefined },
        unreadable,
      ]),
    ]);
  });
});
