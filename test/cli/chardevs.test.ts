/** What the options of chardevs do to what goes through them, with sockets of the operating system. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { TelnetConnection } from '../../host/cli/chardev/telnet.ts';
import { greeter } from '../support/chardev-greeter.ts';
import { RecordingConnection } from '../support/recording-connection.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();

async function listening(server: net.Server, where: net.ListenOptions): Promise<net.Server> {
  await new Promise<void>((resolve) => void server.listen(where, resolve));
  onTestFinished(() => void server.close());
  return server;
}

/** What the other end says first. */
async function firstWords(socket: net.Socket): Promise<Buffer> {
  onTestFinished(() => void socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
  });
}

const portOf = (server: net.Server): number => (server.address() as net.AddressInfo).port; // it listens on TCP

describe('sockets', () => {
  test('take the next port that is free, up to the last one allowed', async () => {
    const server = await listening(net.createServer(), { host: '127.0.0.1', port: 0 });
    const port = portOf(server);
    const { reports } = await greeter(`socket,host=127.0.0.1,port=${port},to=${port + 9},server=on,wait=off`);
    expect(reports).toEqual([]);
    const taken = greeter(`socket,host=127.0.0.1,port=${port},to=${port},server=on,wait=off`);
    await expect(taken).rejects.toThrow('Failed to find an available port: Address already in use');
  });

  test('connect again when their peer comes, and when it comes back', async () => {
    const path = scratch('peer');
    const { reports } = await greeter(`socket,path=${path},reconnect-ms=20`);
    await expect.poll(() => reports).toHaveLength(1);
    expect(reports[0]).toBe(
      `Unable to connect character device c: Failed to connect to '${path}': No such file or directory`,
    );
    const words: string[] = [];
    const server = net.createServer((socket) => {
      void firstWords(socket).then((bytes) => {
        words.push(bytes.toString());
        socket.destroy();
      });
    });
    await listening(server, { path });
    await expect.poll(() => words.length).toBeGreaterThan(1);
    expect(new Set(words)).toEqual(new Set(['hello\n']));
    expect(reports).toHaveLength(1);
  });

  describe('with WebSockets on them', () => {
    async function comer(path: string, options: ClientOptions = {}): Promise<WebSocket> {
      const socket = new WebSocket(`ws+unix:${path}:/`, 'binary', options);
      onTestFinished(() => void socket.terminate());
      return socket;
    }

    test('greet those who come by one, one after the other', async () => {
      const path = scratch('websocket');
      const { reports } = await greeter(`socket,path=${path},server=on,wait=off,websocket=on`);
      const [first, second] = [await comer(path), await comer(path)];
      for (const socket of [first, second]) {
        expect(await once(socket, 'message')).toEqual([Buffer.from('hello\n'), true]);
        socket.close();
      }
      expect(reports).toEqual([]);
    });

    test('speak Telnet in there', async () => {
      const path = scratch('telnet-in-websocket');
      await greeter(`socket,path=${path},server=on,wait=off,websocket=on,telnet=on`);
      const [words] = (await once(await comer(path), 'message')) as [Buffer];
      expect(words.subarray(0, 3).toString('hex')).toBe('fffb01');
    });

    test('turn away pages from elsewhere, and what is no WebSocket', async () => {
      const path = scratch('websocket-origin');
      await greeter(`socket,path=${path},server=on,wait=off,websocket=on`);
      const page = await comer(path, { origin: 'https://example.org' });
      expect(String(await once(page, 'error'))).toContain('Unexpected server response: 403');
      const other = net.connect(path);
      other.write('{"execute":"quit"}\n');
      await once(other.resume(), 'close');
    });

    test('are not for those who connect', async () => {
      await expect(greeter(`socket,path=${scratch('client')},websocket=on`)).rejects.toThrow(
        'Websocket client is not implemented',
      );
    });
  });

  test('greet in Telnet where that is spoken', async () => {
    const path = scratch('telnet');
    await greeter(`socket,path=${path},server=on,wait=off,telnet=on`);
    const words = await firstWords(net.connect(path));
    expect(words.subarray(0, 12).toString('hex')).toBe('fffb01fffb03fffb00fffd00');
  });
});

test('a log keeps what goes out, after what it kept before if so asked', async () => {
  const log = scratch('log');
  for (const more of ['', ',logappend=on']) {
    const { close } = await greeter(`null,logfile=${log}${more}`);
    close();
  }
  expect(readFileSync(log, 'latin1')).toBe('hello\nhello\n');
  (await greeter(`null,logfile=${log}`)).close();
  expect(readFileSync(log, 'latin1')).toBe('hello\n');
});

describe('Telnet', () => {
  const typed = Buffer.from(
    'a\u00ff\u00fd\u0003b\u00ff\u00ffc\u00ff\u00fa\u0018\u0001\u00ff\u00f0d\u00ff\u00f1e',
    'latin1',
  );

  test.each([1, 2, 3, typed.length])('commands are taken out of what comes in pieces of %i', (length) => {
    const peer = new RecordingConnection();
    let data = '';
    const take = (bytes: Uint8Array): void => void (data += Buffer.from(bytes).toString('latin1'));
    new TelnetConnection(peer).start({ data: take, drained: () => {}, ended: () => {}, closed: () => {} });
    for (let at = 0; at < typed.length; at += length) peer.send(typed.subarray(at, at + length));
    expect(data).toBe('ab\u00ffcde');
  });
});
