/**
 * Who connects while a program still takes its command line is answered when all of it has taken effect, and not at all
 * when an option fails. The programs are processes of their own; their clients connect as soon as there is something to
 * connect to, and do not wait to be greeted.
 *
 * Gates, sockets that the program waits for, hold it at the options behind them while a client is there. There are two:
 * when the program has come from the first to the second, it has had its chance to answer too early.
 */
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import * as net from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bundle } from '../support/cli.ts';
import { MonitorClient } from '../support/monitor-client.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';
import { installedV86 } from '../support/v86.ts';

const scratch = scratchDirectory();
const nodeCount = 100;
const ask = '{"execute":"qmp_capabilities"}{"execute":"query-named-block-nodes","arguments":{"flat":true}}';
const quit = '{"execute":"quit"}';

interface Program {
  isThere: boolean;
  command: readonly [string, ...string[]];
  /** A monitor on the chardev that an option string describes, and another before which the program waits. */
  chardev(options: string): string[];
  monitor(id: string): string[];
  blockdev: string;
  daemonize: string;
  /** An option that takes effect last and fails. */
  failing: readonly string[];
  failure: RegExp;
}

const machine = {
  chardev: (options: string) => ['-chardev', options],
  monitor: (id: string) => ['-mon', `chardev=${id},mode=control`],
  blockdev: '-blockdev',
  daemonize: '-daemonize',
};

const programs: Readonly<Record<string, Program>> = {
  'storage-daemon': {
    isThere: true,
    command: [process.execPath, bundle, 'storage-daemon'],
    chardev: (options) => ['--chardev', options],
    monitor: (id) => ['--monitor', id],
    blockdev: '--blockdev',
    daemonize: '--daemonize',
    failing: ['--blockdev', 'null-co,node-name=last,size=x'],
    failure: /--blockdev null-co,node-name=last,size=x: /,
  },
  system: {
    ...machine,
    isThere: true,
    command: [process.execPath, bundle, 'system', '-nodefaults'],
    failing: ['-device', 'virtio-blk-pci,drive=nobody'],
    failure: /-device virtio-blk-pci,drive=nobody: /,
  },
  vm: {
    ...machine,
    isThere: installedV86 !== undefined,
    command: [process.execPath, bundle, 'vm', '-m', '16', '-S', '-serial', 'none'],
    failing: ['-loadvm', 'nothing'],
    failure: /no block device can store vmstate for snapshot/,
  },
};

function manyNodes(option: string): string[] {
  return Array.from({ length: nodeCount }, (_, i) => [option, `null-co,node-name=n${i}`]).flat();
}

interface Started {
  child: ChildProcess;
  errors(): string;
  hasEnded(): boolean;
  /** Settles with the exit status. */
  ended: Promise<number | null>;
}

function start(
  command: readonly [string, ...string[]],
  args: string[],
  stdio: StdioOptions = 'pipe',
): Started {
  const [program, ...first] = command;
  const child = spawn(program, [...first, ...args], { stdio });
  onTestFinished(() => void child.kill('SIGKILL'));
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  let hasEnded = false;
  const ended = once(child, 'close').then(([status]) => {
    hasEnded = true;
    return status as number | null;
  });
  return { child, errors: () => errors, hasEnded: () => hasEnded, ended };
}

/** A way to reach a monitor. */
interface Way {
  chardev: string;
  /** A fourth stream is made as a socket, with the other end for us. */
  stdio?: StdioOptions;
  /** Called when the program has been started. */
  client(program: Started): Promise<MonitorClient>;
}

function unixSocket(path: string, waits = ''): Way {
  return {
    chardev: `socket,id=c,path=${path},server=on${waits}`,
    client: ({ hasEnded }) => MonitorClient.connect({ path }, hasEnded),
  };
}

async function tcpSocket(_path: string, waits = ''): Promise<Way> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as net.AddressInfo; // it listens
  probe.close();
  await once(probe, 'close');
  return {
    chardev: `socket,id=c,host=127.0.0.1,port=${port},server=on${waits}`,
    client: ({ hasEnded }) => MonitorClient.connect({ host: '127.0.0.1', port }, hasEnded),
  };
}

/** The program connects to us. */
async function listener(target: net.ListenOptions): Promise<Way & { connection: Promise<net.Socket> }> {
  const server = net.createServer().listen(target);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const connection = once(server, 'connection').then(([socket]) => {
    onTestFinished(() => void socket.destroy());
    return socket as net.Socket;
  });
  const address = server.address();
  const where = typeof address === 'string' ? `path=${address}` : `host=127.0.0.1,port=${address!.port}`; // it listens
  return {
    chardev: `socket,id=c,${where}`,
    connection,
    client: async () => {
      const socket = await connection;
      return new MonitorClient(socket, socket);
    },
  };
}

async function fifos(path: string): Promise<Way> {
  execFileSync('mkfifo', [`${path}.in`, `${path}.out`]);
  const end = (name: string, isInput: boolean): net.Socket => {
    // For both directions, so that opening waits for nobody.
    const socket = new net.Socket({ fd: openSync(name, 'r+'), readable: isInput, writable: !isInput });
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  const [output, input] = [end(`${path}.in`, false), end(`${path}.out`, true)];
  return {
    chardev: `pipe,id=c,path=${path}`,
    client: async () => new MonitorClient(input, output),
  };
}

/** By what they are called in the names of tests. The path is one that nothing has yet. */
const ways: Readonly<Record<string, (path: string) => Way | Promise<Way>>> = {
  'a Unix socket': (path) => unixSocket(path, ',wait=off'),
  'a Unix socket that is waited for': (path) => unixSocket(path),
  'a TCP socket': (path) => tcpSocket(path, ',wait=off'),
  'a TCP socket that is waited for': (path) => tcpSocket(path),
  'a Unix socket that it connects to': (path) => listener({ path }),
  'a TCP socket that it connects to': () => listener({ port: 0, host: '127.0.0.1' }),
  'an inherited descriptor': () => ({
    chardev: 'socket,id=c,fd=3',
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    client: async ({ child }) => {
      const end = child.stdio[3] as net.Socket;
      return new MonitorClient(end, end);
    },
  }),
  'standard input and output': () => ({
    chardev: 'stdio,id=c',
    client: async ({ child }) => new MonitorClient(child.stdout!, child.stdin!), // both are pipes
  }),
  'a pair of FIFOs': fifos,
};

/** Options in front of all others: a monitor on the chardev, and the gates `GATE1` and `GATE`. */
function behindGates({ chardev, monitor }: Program, options: string, gate: string): string[] {
  return [
    ...[...chardev(options), ...monitor('c')],
    ...chardev(`socket,id=gate1,path=${gate}1,server=on,wait=on`),
    ...chardev(`socket,id=gate,path=${gate},server=on,wait=on`),
  ];
}

/** Settles when the program waits at the last gate: all before it has taken effect, and nothing behind it. */
async function reaches(gate: string, { child, errors, hasEnded }: Started): Promise<void> {
  for (const path of [`${gate}1`, gate]) {
    while (!errors().includes(`disconnected:unix:${path},`)) {
      if (hasEnded()) throw new Error(errors());
      await Promise.race([once(child.stderr!, 'data'), once(child, 'close')]); // it is a pipe
    }
    if (path !== gate) await open(path);
  }
}

async function open(gate: string): Promise<void> {
  const socket = net.connect(gate).on('error', () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
}

/** Ends with the test what a program has put in the background, wherever it has come by then. */
function endWithTest({ child: { pid } }: Started): void {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  expect(children).toHaveLength(1);
  onTestFinished(() => {
    try {
      process.kill(children[0]!, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  });
}

let names = 0;
const fresh = (): string => scratch(`s${names++}`);

/** How many nodes the answer to `ask` names. */
async function nodesSeen(client: MonitorClient): Promise<number> {
  const [answer] = await client.until(/\{"return": \[.*\]\}\r\n/);
  return [...answer.matchAll(/"node-name"/g)].length;
}

/** A client that connects as soon as there is a socket sees all nodes. */
async function expectAllNodes(program: Program): Promise<void> {
  const way = unixSocket(fresh(), ',wait=off');
  const args = [...program.chardev(way.chardev), ...program.monitor('c'), ...manyNodes(program.blockdev)];
  const started = start(program.command, args);
  const client = await way.client(started);
  client.say(ask);
  expect(await nodesSeen(client)).toBe(nodeCount);
  client.say(quit);
  expect(await started.ended).toBe(0);
}

describe.each(Object.entries(programs))('%s', (_name, program) => {
  describe.skipIf(!program.isThere)('while it takes its command line', () => {
    const nodes = manyNodes(program.blockdev);

    test('shows all nodes to a client that connects as soon as there is a socket', async () => {
      await expectAllNodes(program);
    });

    test.each(Object.entries(ways))('greets nobody over %s, and then shows all nodes', async (_way, make) => {
      const [way, gate] = [await make(fresh()), fresh()];
      const args = [...behindGates(program, way.chardev, gate), ...nodes];
      const started = start(program.command, args, way.stdio);
      const client = await way.client(started);
      client.say(ask);
      await reaches(gate, started);
      expect(client.received).toBe('');
      await open(gate);
      expect(await nodesSeen(client)).toBe(nodeCount);
      expect(client.received).toMatch(/^\{"QMP"/);
      client.say(quit);
      expect(await started.ended).toBe(0);
      expect(started.errors().split('\n').slice(-2)).toEqual([
        expect.stringContaining('info: QEMU waiting'),
        '',
      ]);
    });

    test.each(Object.entries(ways))('says nothing over %s when an option fails', async (_way, make) => {
      const [way, gate] = [await make(fresh()), fresh()];
      const args = [...behindGates(program, way.chardev, gate), ...nodes, ...program.failing];
      const started = start(program.command, args, way.stdio);
      const client = await way.client(started);
      client.say(ask);
      await reaches(gate, started);
      await open(gate);
      expect(await started.ended).toBe(1);
      expect(started.errors()).toMatch(program.failure);
      // The ends of FIFOs are ours; all else is closed by the program.
      if (!way.chardev.startsWith('pipe')) await client.all();
      expect(client.received).toBe('');
    });

    test('writes no greeting into a file when an option fails, and one when none does', async () => {
      const file = fresh();
      const args = [...program.chardev(`file,id=c,path=${file}`), ...program.monitor('c')];
      expect(await start(program.command, [...args, ...program.failing]).ended).toBe(1);
      expect(readFileSync(file, 'utf8')).toBe('');
      const way = unixSocket(fresh(), ',wait=off');
      const beside = program.chardev(way.chardev.replace('id=c', 'id=d'));
      const started = start(program.command, [...args, ...beside, ...program.monitor('d')]);
      const client = await way.client(started);
      client.say(`{"execute":"qmp_capabilities"}${quit}`);
      expect(await started.ended).toBe(0);
      expect(readFileSync(file, 'utf8')).toMatch(/^\{"QMP"/);
    });

    test('lets its parent go and greets at the end of it, in the background', async () => {
      const [way, gate] = [unixSocket(fresh(), ',wait=off'), fresh()];
      const args = [...behindGates(program, way.chardev, gate), ...nodes, program.daemonize];
      const started = start(program.command, args);
      const client = await way.client(started);
      client.say(ask);
      await reaches(gate, started);
      endWithTest(started);
      expect(client.received).toBe('');
      expect(started.hasEnded()).toBe(false);
      await open(gate);
      expect(await started.ended).toBe(0);
      expect(await nodesSeen(client)).toBe(nodeCount);
      client.say(quit);
      await client.all();
    });

    test('says nothing in the background when an option fails, and fails its parent', async () => {
      const [way, gate] = [unixSocket(fresh(), ',wait=off'), fresh()];
      const args = [...behindGates(program, way.chardev, gate), ...program.failing, program.daemonize];
      const started = start(program.command, args);
      const client = await way.client(started);
      await reaches(gate, started);
      endWithTest(started);
      await open(gate);
      expect(await client.all()).toBe('');
      expect(await started.ended).toBe(1);
      expect(started.errors()).toMatch(program.failure);
    });

    test('ends by a signal while it waits for a client', async () => {
      const [way, gate] = [unixSocket(fresh(), ',wait=off'), fresh()];
      const started = start(program.command, behindGates(program, way.chardev, gate));
      const client = await way.client(started);
      await reaches(gate, started);
      started.child.kill('SIGTERM');
      expect(await started.ended).toBe(1);
      expect(started.errors()).toContain('Operation canceled');
      expect(await client.all()).toBe('');
    });

    test('is not ended by clients that leave, and greets those that come after', async () => {
      const [way, gate] = [unixSocket(fresh(), ',wait=off'), fresh()];
      const started = start(program.command, [...behindGates(program, way.chardev, gate), ...nodes]);
      for (const text of ['', ask]) {
        const early = await way.client(started);
        early.say(text);
        early.leave();
      }
      const client = await way.client(started);
      client.say(ask);
      await reaches(gate, started);
      await open(gate);
      expect(await nodesSeen(client)).toBe(nodeCount);
      client.say(quit);
      expect(await started.ended).toBe(0);
    });

    test('is not ended by a server that it has connected to and that goes away', async () => {
      const [way, gate] = [await listener({ port: 0, host: '127.0.0.1' }), fresh()];
      const started = start(program.command, [
        ...behindGates(program, way.chardev, gate),
        ...program.monitor('gate'),
      ]);
      await reaches(gate, started);
      (await way.connection).resetAndDestroy();
      const client = await MonitorClient.connect({ path: gate }, started.hasEnded);
      client.say(`{"execute":"qmp_capabilities"}${quit}`);
      expect(await started.ended).toBe(0);
    });
  });
});

describe.each(['system', 'vm'] as const)('the human monitor of %s', (name) => {
  const program = programs[name]!;

  test.skipIf(!program.isThere)('prompts when the last option has been taken', async () => {
    const [path, gate] = [fresh(), fresh()];
    const way = unixSocket(path);
    const legacy = [`${path},server=on,wait=off`, `${gate}1,server=on`, `${gate},server=on`];
    const monitors = legacy.flatMap((options) => ['-monitor', `unix:${options}`]);
    const started = start(program.command, [...monitors, ...manyNodes(program.blockdev)]);
    const client = await way.client(started);
    client.say('info block -n\n');
    await reaches(gate, started);
    expect(client.received).toBe('');
    await open(gate);
    const [answer] = await client.until(/\(qemu\) .*\(qemu\) /s);
    expect(answer.match(/\bn\d+: /g)).toHaveLength(nodeCount);
    client.say('quit\n');
    expect(await started.ended).toBe(0);
  });

  test.skipIf(!program.isThere)('says nothing when an option fails', async () => {
    const [path, gate] = [fresh(), fresh()];
    const way = unixSocket(path);
    const legacy = [`${path},server=on,wait=off`, `${gate}1,server=on`, `${gate},server=on`];
    const monitors = legacy.flatMap((options) => ['-monitor', `unix:${options}`]);
    const started = start(program.command, [...monitors, ...program.failing]);
    const client = await way.client(started);
    await reaches(gate, started);
    await open(gate);
    expect(await client.all()).toBe('');
    expect(await started.ended).toBe(1);
  });
});

describe('the real programs', () => {
  const real: readonly (readonly [boolean, Program])[] = [
    [haveQemu, { ...programs['storage-daemon']!, command: ['qemu-storage-daemon'] }],
    [
      haveQemuSystem,
      {
        ...programs['system']!,
        command: ['qemu-system-x86_64', '-nodefaults', '-display', 'none', '-machine', 'none'],
      },
    ],
  ];

  test.each(real)('show all nodes to such a client, too', async (isThere, program) => {
    if (!isThere) return;
    await expectAllNodes(program);
  });
});
