/**
 * All commands of all programs with all their options, from the tables that the programs themselves read their command
 * lines by, and the values that people write. What a command is given beside the option under test is good, so that the
 * option is what it is about.
 */

import type { DriverDefinition } from '../../host/block/driver.ts';
import { commonOptionsType } from '../../host/block/options.ts';
import { chardevBackends } from '../../host/cli/chardev/options.ts';
import { commands as imgCommands } from '../../host/cli/img/commands.ts';
import { main as img } from '../../host/cli/img/main.ts';
import { commands as ioCommands } from '../../host/cli/io/commands.ts';
import { main as io } from '../../host/cli/io/main.ts';
import { OptionReader, type OptionSpec } from '../../host/cli/shared/getopt.ts';
import type { Terminal } from '../../host/cli/shared/terminal.ts';
import { main as storageDaemon } from '../../host/cli/storage-daemon/main.ts';
import { main as system } from '../../host/cli/system/main.ts';
import { machineOptions, type OptionKind, takesArgument } from '../../host/cli/system/options.ts';
import { main as vm, vmOptions } from '../../host/cli/vm/main.ts';
import { main as web } from '../../host/cli/web/main.ts';
import { drivers } from '../../host/drivers.ts';
import { deviceTypes } from '../../host/machine/device-types.ts';
import { objectTypes } from '../../host/objects/types.ts';
import type { Type } from '../../host/qapi/types.ts';
import { commandLineOptions } from '../../host/qmp/command-line-options.ts';

type Main = (argv: string[], programName: string, terminal?: Terminal) => Promise<number>;

export interface CommandOption {
  /** As messages about it name it. */
  name: string;
  takesValue: boolean;
  /** How it is written. */
  words(value: string): string[];
}

export interface Command {
  /** `img bench`, `io -c read`, `system -device ide-hd`. */
  name: string;
  main: Main;
  options: readonly CommandOption[];
  /** Good ones. */
  operands: readonly string[];
  /** The whole command line, with the words of options. */
  argv(options: readonly string[], operands: readonly string[]): string[];
}

/** Images in the current directory, made anew for each command line. */
export const images = { raw: 'disk.raw', qcow2: 'disk.qcow2' } as const;

const values: readonly string[] = [
  ...[
    '',
    ' ',
    ',',
    ',,',
    '=',
    '-',
    '--',
    'a=b',
    '%s%n',
    '{',
    '{}',
    '[1]',
    '"x"',
    "it's",
    '\t',
    'a\nb',
    '\u0001',
  ],
  ...['0', '1', '2', '3', '7', '-1', '+1', '007', '08', '0x10', '0x', '0xg', '1e3', '1_000', '1,5', '٣'],
  ...[
    '0.5',
    '1.5',
    '.5',
    '1.',
    '1.5k',
    '1.25M',
    '0.000001k',
    '64k',
    '1K',
    '512',
    '513',
    '65536',
    '3M',
    '64kk',
    '64 k',
    'k',
  ],
  ...['255', '256', '65535', '65537', '2147483647', '2147483648', '4294967295', '4294967296'],
  ...[
    '9007199254740993',
    '9223372036854775807',
    '9223372036854775808',
    '18446744073709551615',
    '1T',
    '7E',
    '8E',
    '16E',
  ],
  ...[
    '18446744073709551616',
    '99999999999999999999999999',
    'NaN',
    'Infinity',
    '-0',
    '-64k',
    '-9223372036854775808',
  ],
  ...['on', 'off', 'ON', 'true', 'False', 'yes', 'null', 'none', 'help', '?', 'undefined'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'],
  ...['raw', 'qcow2', 'QCOW2', 'quorum', 'threads', 'native', 'unsafe', 'Writeback', 'human', 'json', 'all'],
  ...['é', '漢字', '💥', '\ud800', 'x'.repeat(300), 'x'.repeat(5000), '9'.repeat(400), 'ü'.repeat(200)],
  ...[
    images.raw,
    images.qcow2,
    '.',
    '..',
    '/',
    '/nonexistent/x',
    './disk.raw/x',
    'socket',
    '127.0.0.1',
    '::1',
    'json:{',
    'json:{}',
    'json:3',
  ],
];

/** Values that would leave this machine, or are not for a process that runs tests as well; all others are tried. */
const limits: readonly { option: RegExp; suits(value: string): boolean }[] = [
  // A name would be looked up.
  {
    option: / (host|--host)$/,
    suits: (value) => value === '127.0.0.1' || value === '::1',
  },
  // Those that are open here are somebody's.
  { option: / fd$/, suits: (value) => !/^\d{1,4}$/.test(value.trim()) },
  // Waiting and repeating are what these do.
  {
    option: /^io -c sleep operand|^io .* latency-ns$|^img bench (--count|--depth|--flush-interval)$/,
    suits: (value) => !/^[+\s]*(0x)?\d{4,}$/.test(value),
  },
  // So slow is what is asked for.
  {
    option: /^img (convert|commit) --rate$/,
    suits: (value) => !/^[+\s]*(0x)?\d{1,3}\.?$|^1K$|^1.5k$/.test(value),
  },
  // So much memory takes long to make.
  { option: /^vm -m$/, suits: (value) => !/^\d{3,}|k|M|T/i.test(value) },
];

/** The values to try for an option or an operand. */
export function valuesFor(command: Command, name: string): readonly string[] {
  const full = `${command.name} ${name}`;
  const limit = limits.filter(({ option }) => option.test(full));
  return values.filter((value) => limit.every(({ suits }) => suits(value)));
}

/** What `main` reads these words by: its own options, and those of what it comes to by them. */
async function specsOf(main: Main, argv: string[]): Promise<(readonly OptionSpec[])[]> {
  const seen: (readonly OptionSpec[])[] = [];
  const { options } = OptionReader.prototype;
  OptionReader.prototype.options = function (this: OptionReader) {
    seen.push(Reflect.get(this, 'specs') as readonly OptionSpec[]);
    return options.call(this);
  };
  try {
    await main(argv, 'x', { out: () => {}, error: () => {} });
  } finally {
    OptionReader.prototype.options = options;
  }
  return seen;
}

/** Options as getopt_long has them. */
function dashed(specs: readonly OptionSpec[], left: readonly string[] = []): CommandOption[] {
  return specs
    .map(({ short, long, argument }) => ({
      name: long === undefined ? `-${short}` : `--${long}`,
      takesValue: argument === true,
      words: (value: string) => {
        if (!argument) return [long === undefined ? `-${short}` : `--${long}`];
        return long === undefined ? [`-${short}`, value] : [`--${long}=${value}`];
      },
    }))
    .filter(({ name }) => !left.includes(name));
}

/** `KEY=VALUE` parts of one option's argument. */
function keyed(names: readonly string[]): CommandOption[] {
  return names.map((name) => ({
    name,
    takesValue: true,
    words: (value) => [`${name}=${value.replaceAll(',', ',,')}`],
  }));
}

const list = (...parts: readonly (string | readonly string[])[]): string => parts.flat().join(',');

/** The names of members, with dots below those that have members of their own. */
function memberNames(type: Type): string[] {
  if (type.kind === 'array') return memberNames(type.element).map((rest) => `0.${rest}`);
  if (type.kind === 'alternate') return type.branches().flatMap(memberNames);
  if (type.kind !== 'struct') return [];
  return type.members.flatMap(({ name, type: member }) => {
    const below = memberNames(member);
    return below.length > 0 ? below.map((rest) => `${name}.${rest}`) : [name];
  });
}

const imgOperands: Readonly<Record<string, readonly string[]>> = {
  compare: [images.raw, images.qcow2],
  convert: [images.raw, 'out'],
  create: ['new', '1M'],
  resize: [images.raw, '128k'],
};

async function imgLines(): Promise<Command[]> {
  const lines: Command[] = [];
  for (const { name } of imgCommands) {
    const [specs] = await specsOf(img, [name, 'nothing', 'nothing']);
    // Few requests, unless an option says otherwise.
    const before = name === 'bench' ? ['-c', '2'] : [];
    lines.push({
      name: `img ${name}`,
      main: img,
      options: dashed(specs ?? []),
      operands: imgOperands[name] ?? [images.qcow2],
      argv: (options, operands) => [name, ...before, ...options, ...operands],
    });
  }
  return lines;
}

async function ioLines(): Promise<Command[]> {
  const lines: Command[] = [
    {
      name: 'io',
      main: io,
      options: dashed((await specsOf(io, ['-h']))[0] ?? []),
      operands: [images.raw],
      argv: (options, operands) => ['-c', 'length', ...options, ...operands],
    },
  ];
  for (const { name, args } of ioCommands) {
    const operands = name === 'open' ? [images.raw] : new Array<string>(args.min).fill('1');
    const file = name === 'open' ? [] : ['-f', 'raw', images.raw];
    const argv = (options: readonly string[], words: readonly string[]): string[] => [
      ...file,
      ...['-c', [name, ...options, ...words].join(' ')],
    ];
    const [, specs] = await specsOf(io, argv([], operands));
    lines.push({ name: `io -c ${name}`, main: io, options: dashed(specs ?? []), operands, argv });
  }
  return lines;
}

/** Option lines of one program: each is one option whose argument is a list of keys, of which `first` are always there. */
function keyedLines(program: string, main: Main, start: readonly string[], end: readonly string[]) {
  return (
    option: string,
    keys: readonly string[],
    first: readonly string[],
    before: readonly string[] = [],
  ): Command => ({
    name: `${program} ${option} ${first[0] ?? ''}`.trim(),
    main,
    options: keyed(keys),
    operands: [],
    argv: (pairs) => [...start, ...before, option, list(first, pairs), ...end],
  });
}

/** Backends that a process which runs tests can have. */
const backends = Object.entries(chardevBackends).filter(([name]) => name !== 'stdio');

async function storageDaemonLines(): Promise<Command[]> {
  const [specs] = await specsOf(storageDaemon, ['-h']);
  // It ends by itself when everything before has been taken.
  const end = ['--monitor', 'nobody'];
  const line = keyedLines('storage-daemon', storageDaemon, [], end);
  return [
    {
      name: 'storage-daemon',
      main: storageDaemon,
      options: dashed(specs ?? [], ['--daemonize']),
      operands: [],
      argv: (options, operands) => [...options, ...operands, ...end],
    },
    ...backends.flatMap(([name, { options }]) =>
      (name === 'socket' ? [[], ['host=127.0.0.1'], ['path=socket', 'server=on']] : [[]]).map((given) => ({
        ...line('--chardev', ['id', ...options.map((option) => option.name)], [name, 'id=c', ...given]),
        name: `storage-daemon --chardev ${list(name, given)}`,
      })),
    ),
    ...objectTypes.map(({ name, options }) =>
      line('--object', ['id', ...memberNames(options)], [name, 'id=o']),
    ),
    line('--monitor', ['id', 'mode', 'pretty', 'chardev'], ['chardev=c'], ['--chardev', 'null,id=c']),
  ];
}

/** Options of a machine: with one dash, and an argument or none. */
function machineOptionsOf(kinds: Readonly<Record<string, OptionKind>>): CommandOption[] {
  return Object.entries(kinds)
    .filter(([name]) => name !== 'daemonize')
    .map(([name, kind]) => {
      const takesValue = takesArgument(kind);
      return {
        name: `-${name}`,
        takesValue,
        words: (value) => (takesValue ? [`-${name}`, value] : [`-${name}`]),
      };
    });
}

function systemLines(): Command[] {
  // Such a qtest fails when everything else has been taken.
  const [start, end] = [['-nodefaults'], ['-qtest', 'nobody']];
  const line = keyedLines('system', system, start, end);
  const disk = ['-blockdev', 'null-co,node-name=disk,size=1M,read-zeroes=on'];
  const ways = ['unix:', 'tcp:127.0.0.1:', 'file:', 'pipe:', 'chardev:'];
  return [
    {
      name: 'system',
      main: system,
      options: machineOptionsOf(machineOptions),
      operands: [],
      argv: (options, operands) => [...start, ...end, ...options, ...operands],
    },
    ...ways.map(
      (way): Command => ({
        name: `system -qmp ${way}`,
        main: system,
        options: [{ name: 'address', takesValue: true, words: (value) => ['-qmp', `${way}${value}`] }],
        operands: [],
        argv: (options) => [...start, ...options, ...end],
      }),
    ),
    ...commandLineOptions
      .filter(({ option }) => option !== 'chardev')
      .map(({ option, parameters }) =>
        line(
          `-${option}`,
          ['id', ...parameters.map(({ name }) => name)],
          option === 'drive'
            ? ['if=none', `file=${images.raw}`, 'format=raw']
            : option === 'mon'
              ? ['chardev=c']
              : [],
          option === 'mon' ? ['-chardev', 'null,id=c'] : [],
        ),
      )
      .map((command) => ({
        ...command,
        name: command.name.replace(' if=none', '').replace(' chardev=c', ''),
      })),
    ...deviceTypes.map(({ name, properties }) => {
      const names = properties.map((property) => property.name);
      return line(
        '-device',
        ['id', 'bus', ...names],
        [name, ...(names.includes('drive') ? ['drive=disk'] : [])],
        disk,
      );
    }),
    line('-m', ['size', 'slots', 'maxmem'], []),
    line('-smp', ['cpus', 'sockets', 'cores', 'threads', 'maxcpus'], []),
  ];
}

/** The guest is never started: the state that it should have is not there. */
function vmLine(): Command {
  const own = ['serial', 'm'].map((name) => [name, 'set'] as const);
  const before = ['-nodefaults', '-m', '16', '-S', '-loadvm', 'nobody', '-serial', 'none'];
  return {
    name: 'vm',
    main: vm,
    options: machineOptionsOf({ ...vmOptions, ...Object.fromEntries(own) }),
    operands: [],
    argv: (options, operands) => [...before, ...options, ...operands],
  };
}

async function webLine(): Promise<Command> {
  const [specs] = await specsOf(web, ['-h']);
  return {
    name: 'web',
    main: web,
    options: dashed(specs ?? []),
    operands: [images.raw],
    argv: (options, operands) => ['--port', '0', ...options, ...operands],
  };
}

/** Good options of a driver, as `name=value`: what it cannot be opened without. */
function goodOptions({ name, children = [] }: DriverDefinition): [string, string][] {
  const file = (child: string): [string, string][] => [
    [`${child}.driver`, 'file'],
    [`${child}.filename`, name === 'qcow2' && child === 'file' ? images.qcow2 : images.raw],
  ];
  const own: Readonly<Record<string, [string, string][]>> = {
    file: [['filename', images.raw]],
    http: [['url', 'http://127.0.0.1:1/x']],
    https: [['url', 'https://127.0.0.1:1/x']],
    quorum: [['vote-threshold', '1']],
  };
  const below = children
    .filter(({ optional }) => !optional)
    .flatMap(({ name: child, list: isList }) => file(isList ? `${child}.0` : child));
  return [['driver', name], ...(own[name] ?? []), ...below];
}

/** Options of every driver, in option strings and in `json:` names, where a value may be of any type. */
function driverLines(): Command[] {
  const command = ['-r', '-c', 'read 0 512', '-c', 'length'];
  const line = keyedLines('io', io, command, []);
  return drivers.flatMap((definition) => {
    const good = goodOptions(definition);
    const keys = [...memberNames(definition.options), ...memberNames(commonOptionsType)].filter(
      (key) => key !== 'driver' && key !== 'url',
    );
    const quoted = good.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    const inJson = keys.map((name) => ({
      name,
      takesValue: true,
      words: (value: string) => [`${JSON.stringify(name)}:${isJson(value) ? value : JSON.stringify(value)}`],
    }));
    return [
      line(
        '--image-opts',
        keys,
        good.map(([key, value]) => `${key}=${value}`),
      ),
      {
        name: `io json: ${definition.name}`,
        main: io,
        options: inJson,
        operands: [],
        argv: (pairs) => [...command, `json:{${[...quoted, ...pairs].join(',')}}`],
      },
    ];
  });
}

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

/** To be called in a directory that has the images. */
export async function allCommands(): Promise<Command[]> {
  return [
    ...(await imgLines()),
    ...(await ioLines()),
    ...(await storageDaemonLines()),
    ...systemLines(),
    vmLine(),
    await webLine(),
    ...driverLines(),
  ];
}
