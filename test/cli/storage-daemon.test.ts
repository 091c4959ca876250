import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { describe, expect, test } from 'vitest';
import { main } from '../../host/cli/storage-daemon/main.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const negotiate = '{"execute":"qmp_capabilities"}';
const quit = '{"execute":"quit"}';

/** A client on a socket that reads line by line. */
class Client {
  private text = '';
  private waiting: (() => void) | undefined;
  isOver = false;

  constructor(private readonly socket: net.Socket) {
    socket.on('data', (bytes) => {
      this.text += bytes;
      this.waiting?.();
    });
    // The daemon may be gone when we take our leave.
    socket.on('error', () => {});
    socket.on('end', () => {
      this.isOver = true;
      this.waiting?.();
    });
  }

  static async connect(target: net.NetConnectOpts): Promise<Client> {
    const socket = net.connect({ ...target, allowHalfOpen: true });
    await once(socket, 'connect');
    return new Client(socket);
  }

  /** The next line; undefined when the daemon has ended the connection. */
  async line(): Promise<Record<string, unknown> | undefined> {
    while (!this.text.includes('\r\n')) {
      if (this.isOver) return undefined;
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
    const end = this.text.indexOf('\r\n');
    const line = this.text.slice(0, end);
    this.text = this.text.slice(end + 2);
    return JSON.parse(line) as Record<string, unknown>;
  }

  send(text: string): void {
    this.socket.write(text);
  }

  end(text?: string): void {
    if (text !== undefined) this.socket.write(text);
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

interface Daemon {
  status: Promise<number>;
  output(): string;
  errors(): string;
}

/** Starts the daemon in this process. */
function start(argv: string[]): Daemon {
  let [output, errors] = ['', ''];
  const terminal = {
    out: (text: string) => void (output += text),
    error: (text: string) => void (errors += text),
  };
  return { status: main(argv, 'storage-daemon', terminal), output: () => output, errors: () => errors };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function startOnSocket(name: string, more: string[] = []): Promise<Daemon & { path: string }> {
  const path = scratch(`${name}.sock`);
  const pidfile = scratch(`${name}.pid`);
  const chardev = `socket,id=c,path=${path},server=on,wait=off`;
  const daemon = start(['--chardev', chardev, '--monitor', 'c', '--pidfile', pidfile, ...more]);
  // It is there before anything stands in it.
  await until(() => existsSync(pidfile) && readFileSync(pidfile, 'utf8') !== '');
  return { ...daemon, path };
}

describe('the storage daemon', () => {
  test('serves a monitor on a socket until it is told to quit, and leaves nothing behind', async () => {
    const daemon = await startOnSocket('serve', ['--blockdev', 'null-co,node-name=n0']);
    expect(readFileSync(scratch('serve.pid'), 'utf8')).toBe(`${process.pid}\n`);
    const client = await Client.connect({ path: daemon.path });
    expect(await client.line()).toHaveProperty('QMP');
    client.send(`${negotiate}{"execute":"query-named-block-nodes"}${quit}`);
    expect(await client.line()).toEqual({ return: {} });
    expect(await client.line()).toMatchObject({ return: [{ 'node-name': 'n0' }] });
    expect(await client.line()).toEqual({ return: {} });
    expect(await client.line()).toBeUndefined();
    client.end();
    expect(await daemon.status).toBe(0);
    expect(existsSync(scratch('serve.pid'))).toBe(false);
    expect(existsSync(daemon.path)).toBe(false);
  });

  test('lets a second client wait until the first is gone', async () => {
    const daemon = await startOnSocket('turns');
    const first = await Client.connect({ path: daemon.path });
    await first.line();
    const second = await Client.connect({ path: daemon.path });
    second.send(`${negotiate}${quit}`);
    first.send(`${negotiate}{"execute":"query-version"}`);
    await first.line();
    expect(await first.line()).toHaveProperty('return.qemu');
    first.destroy();
    expect(await second.line()).toHaveProperty('QMP');
    expect(await daemon.status).toBe(0);
    second.end();
  });

  test('answers a client that has said all it wanted to say', async () => {
    const daemon = await startOnSocket('half-closed');
    const client = await Client.connect({ path: daemon.path });
    client.end(`${negotiate}{"execute":"query-version"}`);
    await client.line();
    expect(await client.line()).toEqual({ return: {} });
    expect(await client.line()).toHaveProperty('return.qemu');
    expect(await client.line()).toBeUndefined();
    process.emit('SIGTERM');
    expect(await daemon.status).toBe(0);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('ends well on %s', async (signal) => {
    const daemon = await startOnSocket(signal);
    process.emit(signal);
    expect(await daemon.status).toBe(0);
    expect(existsSync(scratch(`${signal}.pid`))).toBe(false);
  });

  test('waits for a client before it goes on when told to', async () => {
    const path = scratch('wait.sock');
    const daemon = start(['--chardev', `socket,id=c,path=${path},server=on`, '--monitor', 'c']);
    await until(() => daemon.errors() !== '');
    expect(daemon.errors()).toBe(
      `storage-daemon: --chardev socket,id=c,path=${path},server=on: ` +
        `info: QEMU waiting for connection on: disconnected:unix:${path},server=on\n`,
    );
    const client = await Client.connect({ path });
    client.end(`${negotiate}${quit}`);
    expect(await daemon.status).toBe(0);
  });

  test('takes over a socket that a killed process has left, but no other file', async () => {
    const left = net.createServer().listen(scratch('left.sock'));
    await once(left, 'listening');
    const daemon = await startOnSocket('left');
    process.emit('SIGTERM');
    expect(await daemon.status).toBe(0);
    left.close();
    writeFileSync(scratch('file.sock'), 'precious');
    const refused = start(['--chardev', `socket,id=c,path=${scratch('file.sock')},server=on,wait=off`]);
    expect(await refused.status).toBe(1);
    expect(refused.errors()).toMatch(/Failed to bind socket to .*: Address already in use/);
    expect(readFileSync(scratch('file.sock'), 'utf8')).toBe('precious');
  });

  test('connects to a socket that listens elsewhere', async () => {
    const path = scratch('listener.sock');
    const listener = net.createServer({ allowHalfOpen: true }).listen(path);
    const daemon = start(['--chardev', `socket,id=c,path=${path}`, '--monitor', 'chardev=c']);
    const [socket] = (await once(listener, 'connection')) as [net.Socket];
    const client = new Client(socket);
    expect(await client.line()).toHaveProperty('QMP');
    client.end(`${negotiate}${quit}`);
    expect(await daemon.status).toBe(0);
    listener.close();
  });

  test('writes what a monitor on a file says', async () => {
    const path = scratch('log');
    const daemon = await startOnSocket('beside-file', [
      '--chardev',
      `file,id=f,path=${path}`,
      '--monitor',
      'f,pretty=on',
    ]);
    await until(() => readFileSync(path, 'utf8').endsWith('}\r\n'));
    expect(readFileSync(path, 'utf8')).toMatch(/^{\r\n {4}"QMP"/);
    process.emit('SIGTERM');
    expect(await daemon.status).toBe(0);
  });

  test.each(['help', 'zz,help'])('lists the types of objects for --object %s', async (argument) => {
    const daemon = start(['--object', argument]);
    expect(await daemon.status).toBe(0);
    const types = ['authz-list', 'authz-simple', 'iothread', 'main-loop', 'secret', 'throttle-group'];
    const credentials = ['anon', 'psk', 'x509'].map((kind) => `tls-creds-${kind}`);
    expect(daemon.output()).toBe(
      ['List of user creatable objects:', ...types, ...credentials].join('\n  ').concat('\n'),
    );
  });

  test('names what it does not serve', async () => {
    const complaints = [
      [
        ['--object', 'secret_keyring,id=s,serial=1'],
        "--object secret_keyring,id=s,serial=1: object type 'secret_keyring' is not supported: there is no keyring of the kernel",
      ],
      [
        ['--nbd-server', 'addr.type=vsock,addr.cid=3,addr.port=1'],
        "--nbd-server addr.type=vsock,addr.cid=3,addr.port=1: Socket address type 'vsock' is not supported",
      ],
      [
        ['--export', 'fuse,id=e,node-name=n,mountpoint=m'],
        "--export fuse,id=e,node-name=n,mountpoint=m: Block export type 'fuse' is not supported",
      ],
      [['--chardev', 'pty,id=p'], "--chardev pty,id=p: char driver 'pty' is not supported"],
    ] as const;
    for (const [words, complaint] of complaints) {
      const daemon = start([...words]);
      expect(await daemon.status).toBe(1);
      expect(daemon.errors()).toBe(`storage-daemon: ${complaint}\n`);
    }
  });
});
