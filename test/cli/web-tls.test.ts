/** `blockyard web` over TLS, and the addresses that it prints. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { makeIdentity } from '../../host/cli/web/certificate.ts';
import { main } from '../../host/cli/web/main.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveOpenssl } from '../support/tools.ts';
import { receiveAll, sendRaw } from '../support/web-client.ts';
import { WebServer } from '../support/web-program.ts';

const scratch = scratchDirectory();
const names = ['localhost', 'disks.example', '127.0.0.1', '[::1]', '2001:db8::a:1', '::ffff:10.0.0.1'];
const identity = makeIdentity(names, Date.now());

function writeIdentity(name: string, { cert, key } = identity): { cert: string; key: string } {
  const paths = { cert: scratch(`${name}.crt`), key: scratch(`${name}.key`) };
  writeFileSync(paths.cert, cert);
  writeFileSync(paths.key, key);
  return paths;
}

describe('a certificate made on the spot', () => {
  test.skipIf(!haveOpenssl)('is one for openssl, for all its names', () => {
    const { cert } = writeIdentity('own');
    const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8' });
    expect(openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', cert, cert)).toContain('OK');
    const text = openssl('x509', '-in', cert, '-noout', '-text');
    expect(text).toContain(
      'DNS:localhost, DNS:disks.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:A:1',
    );
    expect(text).toContain('TLS Web Server Authentication');
  });

  test('is another each time, and of use for three months', () => {
    const { cert } = makeIdentity(['localhost'], Date.now());
    expect(cert).not.toBe(identity.cert);
  });
});

describe('over TLS', () => {
  let server: WebServer;

  afterEach(async () => {
    expect(await server.stop()).toBe(0);
  });

  /** Status and certificate, of who trusts `ca`, or whomever. */
  function ask(ca?: string): Promise<{ status: number | undefined; fingerprint: string }> {
    return new Promise((resolve, reject) => {
      const trust = ca === undefined ? { rejectUnauthorized: false } : { ca };
      const request = get(server.base, { ...trust, agent: false }, (response) => {
        const { fingerprint256: fingerprint } = (response.socket as TLSSocket).getPeerCertificate();
        response.resume();
        resolve({ status: response.statusCode, fingerprint });
      });
      request.on('error', reject);
    });
  }

  test('the page is served with the certificate that was named', async () => {
    const { cert, key } = writeIdentity('named');
    server = await WebServer.start('--tls-cert', cert, '--tls-key', key);
    expect(server.base).toMatch(/^https:\/\/127\.0\.0\.1:/);
    expect(await ask(identity.cert)).toMatchObject({ status: 200 });
    await expect(ask(makeIdentity(['localhost'], Date.now()).cert)).rejects.toThrow(/self-signed/);
  });

  test('or with one that is made, whose fingerprint is told', async () => {
    server = await WebServer.start('--tls');
    const { status, fingerprint } = await ask();
    expect(status).toBe(200);
    await expect.poll(() => server.output).toContain(`SHA-256 ${fingerprint}\n`);
  });

  test('who speaks no TLS costs nothing but its connection', async () => {
    const { cert, key } = writeIdentity('deaf');
    server = await WebServer.start('--tls-cert', cert, '--tls-key', key);
    const plain = server.base.replace('https', 'http');
    expect(await receiveAll(await sendRaw(plain, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'))).not.toContain(
      'HTTP/1.1 200',
    );
    await receiveAll(await sendRaw(plain, '\x16\x03\x01\x00\x05nonsense'));
    const silent = connect(Number(new URL(plain).port), '127.0.0.1');
    expect(await ask(identity.cert)).toMatchObject({ status: 200 });
    silent.destroy();
    expect(server.complaints).toBe('');
  });
});

describe('what is printed', () => {
  test('are addresses that can be opened, when it listens on all', async () => {
    const server = await WebServer.start('--host', '0.0.0.0');
    const { port } = new URL(server.base);
    expect(server.base).toBe(`http://127.0.0.1:${port}`);
    const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    const others = addresses.filter(({ internal, family }) => !internal && family === 'IPv4');
    for (const { address } of others) {
      const url = `http://${address}:${port}/`;
      await expect.poll(() => server.output).toContain(`and at ${url}\n`);
      expect((await fetch(url)).status).toBe(200);
    }
    if (others.length > 0) await expect.poll(() => server.output).toContain('See --tls\n');
    await server.stop();
  });

  test.skipIf(process.platform !== 'linux')('is what --open gives to the browser', async () => {
    mkdirSync(scratch('bin'));
    writeFileSync(scratch('bin/xdg-open'), `#!/bin/sh\necho "$@" > '${scratch('opened')}'\n`);
    chmodSync(scratch('bin/xdg-open'), 0o755);
    vi.stubEnv('PATH', scratch('bin'));
    const server = await WebServer.start('--open');
    await expect.poll(() => existsSync(scratch('opened'))).toBe(true);
    await expect.poll(() => readFileSync(scratch('opened'), 'utf8')).toBe(`${server.base}/\n`);
    await server.stop();
    vi.stubEnv('PATH', '/nowhere');
    const alone = await WebServer.start('--open');
    await expect
      .poll(() => alone.complaints)
      .toContain('warning: cannot open a browser: xdg-open: spawn xdg-open ENOENT');
    await alone.stop();
    vi.unstubAllEnvs();
  });
});

const files = writeIdentity('refused');
const other = writeIdentity('other', makeIdentity(['localhost'], Date.now()));

test.each([
  [['--tls-cert', files.cert], '--tls-cert needs --tls-key FILE'],
  [['--tls-key', files.key], '--tls-key needs --tls-cert FILE'],
  [['--tls-cert', files.cert, '--tls-key', '/no/such'], "--tls-key: '/no/such': No such file or directory"],
  [['--tls-cert', files.key, '--tls-key', files.key], `'${files.key}' is not a certificate in PEM`],
  [['--tls-cert', files.cert, '--tls-key', files.cert], `'${files.cert}' is not a key in PEM`],
  [['--tls-cert', files.cert, '--tls-key', other.key], `'${other.key}' is not the key of '${files.cert}'`],
  [['--tls', '--tls-cert', files.cert, '--tls-key', files.key], '--tls makes a certificate'],
  [['--open=yes'], "option '--open' takes no argument"],
])('%j is refused', async (argv, message) => {
  let errors = '';
  const terminal = { out: () => {}, error: (text: string) => void (errors += text) };
  expect(await main(argv, 'blockyard web', terminal)).toBe(1);
  expect(errors).toContain(message);
});
