import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { main } from '../../host/cli/system/main.ts';
import { scratchDirectory } from '../support/scratch.ts';

const scratch = scratchDirectory();
const base = ['-nodefaults', '-display', 'none'];

interface Started {
  status: Promise<number>;
  output(): string;
  errors(): string;
}

/** Runs it in this process. */
function start(...argv: string[]): Started {
  let output = '';
  let errors = '';
  const terminal = {
    out: (text: string) => void (output += text),
    error: (text: string) => void (errors += text),
  };
  return { status: main(argv, 'qemu-system-x86_64', terminal), output: () => output, errors: () => errors };
}

/** Ends by itself. */
async function finish(...argv: string[]): Promise<{ status: number; output: string; errors: string }> {
  const program = start(...argv);
  const status = await program.status;
  return { status, output: program.output(), errors: program.errors() };
}

class Client {
  private readonly lines: AsyncIterator<string>;

  constructor(readonly socket: net.Socket) {
    const reader: Interface = createInterface({ input: socket });
    this.lines = reader[Symbol.asyncIterator]();
  }

  static async connect(path: string): Promise<Client> {
    for (;;) {
      const socket = net.connect(path);
      try {
        await once(socket, 'connect');
        return new Client(socket);
      } catch {
        // It is not there yet.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  send(text: string): void {
    this.socket.write(`${text}\n`);
  }

  async line(): Promise<string | undefined> {
    const { value, done } = await this.lines.next();
    return done ? undefined : value;
  }

  async json(): Promise<Record<string, unknown>> {
    return JSON.parse((await this.line()) ?? '{}') as Record<string, unknown>;
  }

  /** Negotiates, sends a command and gives everything up to its answer. */
  async ask(execute: string, args: object = {}): Promise<Record<string, unknown>[]> {
    this.send(JSON.stringify({ execute, arguments: args }));
    const messages = [await this.json()];
    while (!('return' in messages.at(-1)!) && !('error' in messages.at(-1)!))
      messages.push(await this.json());
    return messages;
  }
}

async function serve(
  name: string,
  ...argv: string[]
): Promise<{ program: Started; client: Client; path: string }> {
  const path = scratch(`${name}.sock`);
  const program = start(...base, '-qmp', `unix:${path},server=on,wait=off`, ...argv);
  const client = await Client.connect(path);
  expect(await client.json()).toHaveProperty('QMP');
  await client.ask('qmp_capabilities');
  return { program, client, path };
}

describe('a machine on the command line', () => {
  test('runs from the start, or waits with -S', async () => {
    const running = await serve('running', '-M', 'none');
    expect(await running.client.ask('query-status')).toMatchObject([{ return: { status: 'running' } }]);
    await running.client.ask('quit');
    expect(await running.program.status).toBe(0);
    const waiting = await serve('waiting', '-M', 'none', '-S');
    expect(await waiting.client.ask('query-status')).toMatchObject([{ return: { status: 'prelaunch' } }]);
    await waiting.client.ask('quit');
    expect(await waiting.program.status).toBe(0);
  });

  test('says why it ends before it answers', async () => {
    const { client, program, path } = await serve('quit', '-M', 'none');
    expect(await client.ask('quit')).toMatchObject([
      { event: 'SHUTDOWN', data: { guest: false, reason: 'host-qmp-quit' } },
      { return: {} },
    ]);
    expect(await program.status).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test('tells its clients about a signal', async () => {
    const { client, program } = await serve('signal', '-M', 'none');
    process.emit('SIGTERM');
    expect(await client.json()).toMatchObject({
      event: 'SHUTDOWN',
      data: { guest: false, reason: 'host-signal' },
    });
    expect(await program.status).toBe(0);
  });

  test('ends on a reset with -no-reboot', async () => {
    const { client, program } = await serve('no-reboot', '-no-reboot');
    expect(await client.ask('system_reset')).toMatchObject([
      { event: 'SHUTDOWN', data: { guest: false, reason: 'host-qmp-system-reset' } },
      { return: {} },
    ]);
    expect(await program.status).toBe(0);
  });

  test('takes options with one dash or two', async () => {
    const { client, program } = await serve('dashes', '--machine', 'none', '--name', 'guest=x', '--S');
    expect(await client.ask('query-name')).toEqual([{ return: { name: 'x' } }]);
    await client.ask('quit');
    await program.status;
  });

  test('serves monitors of -mon on any chardev, pretty on request', async () => {
    const path = scratch('mon.sock');
    const program = start(
      ...base,
      ...['-M', 'none', '-chardev', `socket,id=c,path=${path},server=on,wait=off`],
      ...['-mon', 'chardev=c,mode=control,pretty=on'],
    );
    const client = await Client.connect(path);
    expect(await client.line()).toBe('{');
    client.send('{"execute":"qmp_capabilities"}{"execute":"quit"}');
    expect(await program.status).toBe(0);
  });

  test('keeps its pidfile from others as long as it runs', async () => {
    const pidfile = scratch('pid');
    const { client, program } = await serve('pidfile', '-M', 'none', '-pidfile', pidfile);
    expect(readFileSync(pidfile, 'utf8')).toBe(`${process.pid}\n`);
    const second = await finish(...base, '-M', 'none', '-pidfile', pidfile);
    expect(second).toMatchObject({
      status: 1,
      errors:
        'qemu-system-x86_64: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable\n',
    });
    expect(readFileSync(pidfile, 'utf8')).toBe(`${process.pid}\n`);
    await client.ask('quit');
    await program.status;
    expect(existsSync(pidfile)).toBe(false);
  });

  test('leaves an image as it was with -snapshot', async () => {
    const image = scratch('disk.raw');
    writeFileSync(image, new Uint8Array(1 << 20));
    const before = statSync(image).mtimeMs;
    const { client, program } = await serve(
      'snapshot',
      ...['-snapshot', '-drive', `if=none,id=d,file=${image},format=raw`],
    );
    expect(await client.ask('query-block')).toMatchObject([
      { return: [{ inserted: { drv: 'qcow2', ro: false, backing_file_depth: 1 } }] },
    ]);
    await client.ask('quit');
    await program.status;
    expect(statSync(image).mtimeMs).toBe(before);
  });

  test.each([
    [['-incoming', 'defer'], '-incoming: option is not supported'],
    [['-accel', 'kvm'], '-accel kvm: accelerator kvm is not supported: there is no processor'],
    [['-monitor', 'nowhere'], "-monitor nowhere: 'nowhere' is not a valid char driver"],
    [['-serial', 'vc'], "-serial vc: char driver 'vc' is not supported"],
    [['-chardev', 'ringbuf,id=r'], "-chardev ringbuf,id=r: char driver 'ringbuf' is not supported"],
    [['-object', 'thread-context,id=t'], 'thread-context'],
    [['-name'], '-name: requires an argument'],
  ])('refuses %j by name', async (argv, message) => {
    const { status, errors } = await finish(...base, ...argv);
    expect(status).toBe(1);
    expect(errors).toContain(message);
  });

  test.each([
    [['-version'], /^QEMU emulator version 10\.0\.2 \(blockyard /],
    [['-help'], /^usage: qemu-system-x86_64 \[options\] \[disk_image\]/],
    [['-machine', 'help'], /^none +empty machine$/m],
    [['-device', 'help'], /^name "virtio-blk-pci", bus PCI, alias "virtio-blk"$/m],
    [['-device', 'scsi-hd,help'], /^ {2}lun=<uint32>/m],
    [['-drive', 'format=help'], /^Supported formats: .*qcow2/],
  ])('answers %j and does nothing else', async (argv, expected) => {
    const { status, output, errors } = await finish(...argv);
    expect(output).toMatch(expected);
    expect({ status, errors }).toEqual({ status: 0, errors: '' });
  });
});

describe('the clock of -qtest', () => {
  test('stands still until it is told to go on', async () => {
    const path = scratch('qtest.sock');
    const { client, program } = await serve(
      'qtest-qmp',
      ...['-M', 'none', '-accel', 'qtest', '-qtest', `unix:${path},server=on,wait=off`],
      ...['-qtest-log', scratch('qtest.log')],
    );
    const qtest = await Client.connect(path);
    const say = async (text: string): Promise<string | undefined> => {
      qtest.send(text);
      return qtest.line();
    };
    expect(await say('clock_step 1000')).toBe('OK 1000');
    expect(await say('clock_set 5000')).toBe('OK 5000');
    expect(await say('clock_step')).toMatch(/^FAIL/);
    expect(await say('readl 0x1000')).toBe('OK 0x0000000000000000');
    expect(await say('nosuch')).toBe("FAIL Unknown command 'nosuch'");
    await client.ask('quit');
    await program.status;
    expect(readFileSync(scratch('qtest.log'), 'utf8')).toMatch(/^\[R \+\d+\.\d{6}\] clock_step 1000$/m);
  });
});
