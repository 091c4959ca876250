/**
 * Our NBD client in place of QEMU's: the same words to servers, right and wrong ones, and the same complaints about these and
 * about names of what there is not. Differences are in a table, each with its reason.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Option, OptionReply } from '../../../host/nbd/constants.ts';
import { brokenServers, type Occasion } from '../../support/broken-nbd-servers.ts';
import { runOwn } from '../../support/own-tools.ts';
import { ioCommands } from '../../support/qemu.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import {
  blockSizeInfo,
  exportInfo,
  listen,
  optionReply,
  type Script,
  type ScriptedServer,
} from '../../support/scripted-nbd-server.ts';
import { haveQemu } from '../../support/tools.ts';

type Tool = 'qemu-img' | 'qemu-io';
type Line = readonly [tool: Tool, ...args: string[]];

const scratch = scratchDirectory();
const socket = (): string => scratch('s');
const uri = (name = 'exp'): string => `nbd+unix://${name === '' ? '' : `/${name}`}?socket=${socket()}`;

/** What a tool has said: to people, and to servers. Speeds are left out. */
interface Said {
  readonly output: string;
  readonly heard: readonly string[];
}

const withoutSpeed = (text: string): string => text.replace(/^.*ops;.*\n/gm, '');

async function runTheirs([tool, ...args]: Line): Promise<string> {
  const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, error] = ['', ''];
  child.stdout.on('data', (text) => void (out += text));
  child.stderr.on('data', (text) => void (error += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return `${withoutSpeed(out)}${error}= ${status}`;
}

async function runOurs([tool, ...args]: Line): Promise<string> {
  const { stdout, stderr, status } = await runOwn(tool, args);
  return `${withoutSpeed(stdout)}${stderr}= ${status}`;
}

async function said(script: Script, act: () => Promise<string>): Promise<Said> {
  rmSync(socket(), { force: true });
  const servers: ScriptedServer[] = [];
  const listener = await listen(socket(), script, servers);
  const output = await act();
  // It is closed when all that was said has been heard.
  await new Promise((resolve) => listener.close(resolve));
  const heard = servers.flatMap((server) => server.heard);
  return { output, heard };
}

async function both(script: Script, line: Line): Promise<{ ours: Said; theirs: Said }> {
  const theirs = await said(script, () => runTheirs(line));
  return { ours: await said(script, () => runOurs(line)), theirs };
}

const payloadLength = 0x20;

/** The protocol wants the payload of a WRITE announced in extended headers: ours does, QEMU does not. */
function withoutPayloadFlag(heard: readonly string[]): string[] {
  return heard.map((words) =>
    words.replace(/^21e41c71([0-9a-f]{4})0001/, (_, flags: string) => {
      const without = Number.parseInt(flags, 16) & ~payloadLength;
      return `21e41c71${without.toString(16).padStart(4, '0')}0001`;
    }),
  );
}

function sizes(minimum: number, preferred: number, maximum: number, form: Script['form']): Script {
  const bytes = 1 << 20;
  const answer = Buffer.concat([
    blockSizeInfo(Option.go, minimum, preferred, maximum),
    exportInfo(Option.go, bytes, 0xced),
    optionReply(Option.go, OptionReply.ack),
  ]);
  return { ...(form && { form }), options: { [Option.go]: () => answer } };
}

const io = (...commands: string[]): Line => ['qemu-io', '-f', 'raw', ...ioCommands(...commands), uri()];
const writeback = (...commands: string[]): Line => [
  'qemu-io',
  '-t',
  'writeback',
  '-f',
  'raw',
  ...ioCommands(...commands),
  uri(),
];
const work = [
  'read 4k 64k',
  'write 0 4k',
  'write -f 512 1024',
  'write -z 8k 4k',
  'write -z -u 8k 4k',
  'write -z -n 8k 4k',
  'write -z -f 8k 4k',
  'flush',
  'read 0 1M',
  'truncate 2M',
  'truncate 512k',
  'map',
];

describe.skipIf(!haveQemu)('what is said to a server', () => {
  const noGo = { options: { [Option.go]: optionReply(Option.go, OptionReply.unsupported) } };
  const scripts: readonly (readonly [string, Script, Line])[] = [
    ['simple replies', { form: 'simple' }, io(...work)],
    ['structured replies', { form: 'structured' }, io(...work)],
    ['extended headers', {}, io(...work)],
    ['extended headers, without writing through', {}, writeback(...work)],
    ['no answers to options', { style: 'newstyle' }, io(...work)],
    ['no GO', noGo, io(...work)],
    [
      'what can only be read',
      { flags: 3 },
      ['qemu-io', '-r', '-f', 'raw', ...ioCommands('read 0 4k'), uri()],
    ],
    ['what can only be read, to be written', { flags: 3 }, io('read 0 4k')],
    ['no commands but those that must be', { flags: 1 }, io(...work)],
    // Ours knows that there is nothing to flush.
    ['no writing through', { flags: 0xced & ~8 }, io(...work.filter((command) => command !== 'flush'))],
    [
      'a disk that ends within a sector',
      { size: 1_000_000 },
      writeback('read 999900 548', 'write 999k 424', 'map'),
    ],
    [
      'large blocks',
      sizes(4096, 65_536, 1 << 17, 'structured'),
      writeback('read 4k 600k', 'write 4k 12k', 'write -z 4k 300k', 'map'),
    ],
    [
      'large blocks, extended',
      sizes(4096, 65_536, 1 << 17, 'extended'),
      writeback('read 4k 600k', 'write 4k 12k', 'write -z 4k 300k', 'map'),
    ],
    ['the old style, by a name', { style: 'old' }, io('read 0 4k')],
    ['an info', {}, ['qemu-img', 'info', '--output=json', '-f', 'raw', uri()]],
    ['a map', { form: 'structured' }, ['qemu-img', 'map', '--output=json', '-f', 'raw', uri()]],
    [
      'a bitmap',
      {},
      [
        'qemu-img',
        'map',
        '--image-opts',
        `driver=nbd,path=${scratch('s')},export=exp,x-dirty-bitmap=base:allocation`,
      ],
    ],
  ];

  test.each(scripts)('with %s', async (_, script, line) => {
    const { ours, theirs } = await both(script, line);
    expect(ours.output).toBe(theirs.output);
    expect(withoutPayloadFlag(ours.heard)).toEqual(theirs.heard);
  });

  test('of the old style', async () => {
    const line: Line = ['qemu-io', '-f', 'raw', ...ioCommands('read 0 4k'), uri('')];
    const { ours, theirs } = await both({ style: 'old' }, line);
    expect(ours).toEqual(theirs);
  });
});

/** By the name of a broken server: why ours says something else. */
const differences: Readonly<Record<string, string>> = {
  'an error with a long text': 'ours tells 4096 bytes of a server’s words',
  'a context with a name that is too long': 'the same',
  'an ACK without an export': 'ours says goodbye',
  'an ACK of an export with data': 'the same',
  'an export without flags': 'the same',
  'an error with a text that is too long': 'the same',
  'an export of more than 2^63 bytes': 'QEMU opens it as a disk of nothing',
  'an error and no end, structured': 'both wait for ever',
  'a structured reply, simple': 'an error of its own for a known request',
  'an extended reply, simple': 'the same',
  'no data at all, structured': 'QEMU takes what has not come for read',
  'less data than asked for, structured': 'the same',
  'the same data twice, structured': 'the same',
};

describe.skipIf(!haveQemu)('what is said of a server that breaks the protocol', () => {
  const lines: Readonly<Record<Occasion, (name: string) => Line>> = {
    open: (name) => ['qemu-img', 'info', '-f', 'raw', uri(name)],
    read: () => ['qemu-io', '-r', '-f', 'raw', ...ioCommands('read 4k 4k'), uri()],
    write: () => writeback('write 4k 4k', 'read 16k 512'),
    map: () => ['qemu-img', 'map', '--output=json', '-f', 'raw', uri()],
  };
  const compared = brokenServers.filter(({ name }) => differences[name] === undefined);

  test('is compared but for what is explained', () => {
    const names = brokenServers.map(({ name }) => name);
    expect(Object.keys(differences).filter((name) => !names.includes(name))).toEqual([]);
  });

  test.each(compared)('$occasion: $name', async ({ name, occasion, script }) => {
    const line = lines[occasion](name.includes('old') ? '' : 'exp');
    const { ours, theirs } = await both(script, line);
    expect(ours.output).toBe(theirs.output);
    expect(withoutPayloadFlag(ours.heard)).toEqual(theirs.heard);
  });
});

const names: readonly string[] = [
  'nbd://localhost:1/exp',
  'nbd://localhost:1',
  'nbd+tcp://127.0.0.1:1/',
  'nbd+unix:///exp?socket=/nope',
  'nbds://localhost/',
  'nbd:localhost',
  'nbd://localhost:zz/',
  'nbd+unix://host/exp?socket=/x',
  'nbd+unix:///exp?socket=/x&a=b',
  'nbd+unix:///exp?sock=/x',
  'nbd://',
  'nbd:',
  'nbd:foo',
  'nbd:unix:/nope:exportname=x',
  'nbd://[::1]:1/x',
  'nbd:[::1]:1:exportname=x',
  'nbd://localhost:1/a%20b?x=1',
  'nbd://localhost:1/a%20b',
  'nbd://localhost:1/a/b/c',
  'nbd://localhost:1//a',
  'nbd://user@localhost:1/a',
  'nbd:/x',
  'nbd:a:b:c',
  'nbd+udp://a',
  `nbd+unix:///exp?socket=/${'x'.repeat(108)}`,
];

const options: readonly string[] = [
  'driver=nbd',
  'driver=nbd,host=localhost,port=1',
  'driver=nbd,path=/x,host=localhost',
  'driver=nbd,path=/x,server.type=unix,server.path=/y',
  'driver=nbd,server.type=unix,server.path=/nope,reconnect-delay=x',
  'driver=nbd,server.type=unix,server.path=/nope,export=exp',
  'driver=nbd,server.type=unix,export=exp',
  'driver=nbd,server.type=foo,export=exp',
  'driver=nbd,server.type=inet,server.host=localhost',
  'driver=nbd,server.host=localhost',
  'driver=nbd,port=1',
  'driver=raw,file.driver=nbd,file.path=/nope',
  `driver=nbd,path=/nope,export=${'x'.repeat(4097)}`,
  `driver=nbd,path=/nope,x-dirty-bitmap=${'x'.repeat(4097)}`,
];

describe.skipIf(!haveQemu)('what cannot be opened', () => {
  const lines: Line[] = [
    ...names.map((name): Line => ['qemu-img', 'info', name]),
    ...options.map((option): Line => ['qemu-img', 'info', '--image-opts', option]),
    ['qemu-img', 'create', '-f', 'raw', 'nbd://localhost:1/x', '1M'],
    ['qemu-img', 'create', '-f', 'qcow2', 'nbd://localhost:1/x', '1M'],
    ['qemu-img', 'check', 'nbd://localhost:1/x'],
    ['qemu-io', '-f', 'raw', '-c', 'read 0 1', 'nbd://localhost:1/x'],
  ];

  test.each(lines.map((line) => [line.slice(1).join(' ').slice(0, 80), line] as const))(
    '%s',
    async (_, line) => {
      expect(await runOurs(line)).toBe(await runTheirs(line));
    },
  );
});
