/** Chardevs over TLS (`tls-creds=`), with sockets and certificates of the operating system. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { BlockGraph } from '../../host/block/graph.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { TlsEndpoint } from '../../host/platform/tls.ts';
import {
  authorityExtensions,
  CertificateMaker,
  clientExtensions,
  type Identity,
  serverExtensions,
} from '../support/certificates.ts';
import { greeter } from '../support/chardev-greeter.ts';
import { freePort } from '../support/free-port.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveOpenssl } from '../support/tools.ts';

const scratch = scratchDirectory();
const host = '127.0.0.1';

interface Certificates {
  readonly authority: Identity;
  readonly server: Identity;
  /** Of another host. */
  readonly other: Identity;
  readonly client: Identity;
  readonly directories: Readonly<Record<TlsEndpoint, string>>;
}

let certificates: Certificates;

function makeCertificates(): Certificates {
  const maker = new CertificateMaker(scratch('certificates'));
  const authority = maker.make({ subject: '/CN=authority', extensions: authorityExtensions });
  const server = maker.make({ subject: '/CN=server', extensions: serverExtensions }, authority);
  const elsewhere = [...serverExtensions.slice(0, -1), 'subjectAltName=DNS:elsewhere'];
  const other = maker.make({ subject: '/CN=elsewhere', extensions: elsewhere }, authority);
  const client = maker.make({ subject: '/O=Example/CN=alice', extensions: clientExtensions }, authority);
  const directories = {
    server: maker.directoryOf(authority, 'server', server),
    client: maker.directoryOf(authority, 'client', client),
  };
  return { authority, server, other, client, directories };
}

/** With the credentials `tls` of an endpoint, and `friends`, who allows alice alone. */
async function graphFor(endpoint: TlsEndpoint): Promise<BlockGraph> {
  const graph = new BlockGraph({ platform: nodePlatform, drivers: [] });
  const directory = certificates.directories[endpoint];
  const credentials = await nodePlatform.tls!.x509({ endpoint, directory, verifyPeer: true, checks: true }); // Node has it
  objectTableOf(graph).set('tls', { credentials });
  objectTableOf(graph).set('friends', { allows: (identity) => identity === 'O=Example,CN=alice' });
  objectTableOf(graph).set('nobody', { allows: () => false });
  return graph;
}

function keysOf({ cert, key }: Identity): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

/** What is said first through a connection that trusts the authority; nothing where it is ended. */
async function firstWords(port: number, identity?: Identity): Promise<string> {
  const ca = readFileSync(certificates.authority.cert);
  const socket = tls.connect({ host, port, ca, ...(identity && keysOf(identity)) });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  const words = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])]);
  return String(words[0]);
}

describe.skipIf(!haveOpenssl)('a chardev over TLS', () => {
  beforeAll(() => {
    certificates = makeCertificates();
  });

  describe('that listens', () => {
    test('greets who has a certificate, and says why others are refused', async () => {
      const port = await freePort();
      const options = `socket,host=${host},port=${port},server=on,wait=off,tls-creds=tls`;
      const { reports } = await greeter(options, await graphFor('server'));
      expect(await firstWords(port)).toBe('');
      const plain = net.connect(port, host);
      plain.write('{"execute":"quit"}\r\n');
      plain.on('error', () => {});
      await once(plain.resume(), 'close');
      expect(await firstWords(port, certificates.client)).toBe('hello\n');
      await expect.poll(() => reports).toHaveLength(2);
      expect(reports[0]).toBe(
        'Refused a client of character device c: Verify failed: No certificate was found.',
      );
      expect(reports[1]).toContain('TLS handshake failed: An unexpected TLS packet was received.');
    });

    test.each([
      ['friends', 'hello\n', []],
      ['nobody', '', ['TLS x509 authz check for O=Example,CN=alice is denied']],
      ['tls', '', ["Object 'tls' is not a QAuthZ subclass"]],
      ['none', '', ['Cannot find QAuthZ object ID none']],
    ])('asks `tls-authz=%s` who may come', async (authorization, words, reasons) => {
      const port = await freePort();
      const options = `socket,host=${host},port=${port},server=on,wait=off,tls-creds=tls,tls-authz=${authorization}`;
      const { reports } = await greeter(options, await graphFor('server'));
      expect(await firstWords(port, certificates.client)).toBe(words);
      const said = reasons.map((reason) => `Refused a client of character device c: ${reason}`);
      await expect.poll(() => reports).toEqual(said);
    });

    test('has somebody who says nothing hold up nobody', async () => {
      const port = await freePort();
      const options = `socket,host=${host},port=${port},server=on,wait=off,tls-creds=tls`;
      await greeter(options, await graphFor('server'));
      const silent = net.connect(port, host);
      onTestFinished(() => void silent.destroy());
      await once(silent, 'connect');
      expect(await firstWords(port, certificates.client)).toBe('hello\n');
    });

    test('speaks Telnet and WebSockets in there', async () => {
      const port = await freePort();
      const options = `socket,host=${host},port=${port},server=on,wait=off,tls-creds=tls,websocket=on,telnet=on`;
      await greeter(options, await graphFor('server'));
      const ca = readFileSync(certificates.authority.cert);
      const socket = new WebSocket(`wss://${host}:${port}/`, 'binary', {
        ca,
        ...keysOf(certificates.client),
      });
      onTestFinished(() => void socket.terminate());
      const [words] = (await once(socket, 'message')) as [Buffer];
      expect(words.subarray(0, 3).toString('hex')).toBe('fffb01');
    });
  });

  describe('that connects', () => {
    /** Where somebody with that certificate listens, and what they hear. */
    async function listener(identity: Identity): Promise<{ port: number; heard: string[] }> {
      const heard: string[] = [];
      const ca = readFileSync(certificates.authority.cert);
      const options = { ...keysOf(identity), ca, requestCert: true, rejectUnauthorized: true };
      const server = tls.createServer(options, (socket) => {
        socket.on('error', () => {});
        socket.on('data', (bytes) => {
          heard.push(bytes.toString());
          socket.destroy();
        });
      });
      await new Promise<void>((resolve) => void server.listen(0, host, resolve));
      onTestFinished(() => void server.close());
      return { port: (server.address() as net.AddressInfo).port, heard }; // it listens on TCP
    }

    test('is greeted by the server that its certificate is for, again and again', async () => {
      const { port, heard } = await listener(certificates.server);
      const graph = await graphFor('client');
      await greeter(`socket,host=${host},port=${port},tls-creds=tls,reconnect-ms=10`, graph);
      await expect.poll(() => heard.length).toBeGreaterThan(1);
      expect(new Set(heard)).toEqual(new Set(['hello\n']));
    });

    test('does not speak to another', async () => {
      const { port, heard } = await listener(certificates.other);
      const graph = await graphFor('client');
      await expect(greeter(`socket,host=${host},port=${port},tls-creds=tls`, graph)).rejects.toThrow(
        `Certificate does not match the hostname ${host}`,
      );
      const again = await greeter(`socket,host=${host},port=${port},tls-creds=tls,reconnect-ms=10`, graph);
      await expect
        .poll(() => again.reports)
        .toEqual([`Unable to connect character device c: Certificate does not match the hostname ${host}`]);
      expect(heard).toEqual([]);
    });
  });
});
