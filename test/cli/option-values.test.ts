/**
 * Whatever people write for an option of any program: it is taken or refused with a message, and never ends in an internal
 * error, a stack or a wait without end. Command lines are run in this process, in a directory with two small images.
 *
 * OPTION_LINES: how many; all that have one value under test when it is large enough. OPTION_SEED: which.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { chardevBackends } from '../../host/cli/chardev/options.ts';
import { commands as imgCommands } from '../../host/cli/img/commands.ts';
import { commands as ioCommands } from '../../host/cli/io/commands.ts';
import { runTool, type Terminal, Tool } from '../../host/cli/shared/tool.ts';
import { drivers } from '../../host/drivers.ts';
import { deviceTypes } from '../../host/machine/device-types.ts';
import { allCommands, type Command, images, valuesFor } from '../support/command-lines.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { Seeded } from '../support/seeded.ts';

const lineCount = Number(process.env['OPTION_LINES'] ?? 3000);
const seed = Number(process.env['OPTION_SEED'] ?? 1);
/** A program that serves is told to end after this; one that has not ended long after hangs. */
const [servingMs, hangingMs] = [1_000, 20_000];

const scratch = scratchDirectory();
const at = process.cwd();
const title = process.title;
let here = '';
let fixtures: Map<string, Uint8Array>;
let commands: Command[] = [];
let uncaught: unknown[] = [];
const catchThem = (error: unknown): void => void uncaught.push(error);

interface Line {
  command: Command;
  argv: string[];
}

beforeAll(async () => {
  here = scratch('lines');
  mkdirSync(here);
  process.chdir(here);
  writeFileSync(images.raw, new Uint8Array(64 << 10).fill(7));
  const { main } = await import('../../host/cli/img/main.ts');
  await main(['convert', '-f', 'raw', '-O', 'qcow2', images.raw, images.qcow2], 'img', {
    out: () => {},
    error: () => {},
  });
  fixtures = new Map(Object.values(images).map((name) => [name, readFileSync(name)]));
  const { kill } = process;
  // A signal that there is would be for the tests.
  vi.spyOn(process, 'kill').mockImplementation((pid, signal) =>
    isSignal(signal) || signal === 'SIGABRT' ? true : kill(pid, signal),
  );
  commands = await allCommands();
});

function isSignal(signal: unknown): boolean {
  return Number.isInteger(signal) && (signal as number) >= 0 && (signal as number) < 65;
}

afterAll(() => {
  vi.restoreAllMocks();
  process.chdir(at);
  process.title = title;
});

beforeEach(() => {
  uncaught = [];
  process.on('uncaughtException', catchThem);
  process.on('unhandledRejection', catchThem);
});

afterEach(() => {
  process.off('uncaughtException', catchThem);
  process.off('unhandledRejection', catchThem);
});

function restore(): void {
  for (const name of readdirSync('.'))
    if (!fixtures.has(name)) rmSync(name, { recursive: true, force: true });
  for (const [name, content] of fixtures) writeFileSync(name, content);
}

/** What is wrong with how the program took its command line; undefined: nothing. */
async function problemWith({ command, argv }: Line): Promise<string | undefined> {
  restore();
  let said = '';
  const take = (text: string): void => {
    said += text;
    // It waits for somebody, or serves.
    if (/QEMU waiting for connection|is at http/.test(text)) setImmediate(() => process.emit('SIGTERM'));
  };
  const ended = command.main(argv, command.name.split(' ', 1)[0]!, { out: take, error: take });
  const end = setTimeout(() => process.emit('SIGTERM'), servingMs);
  let hang: NodeJS.Timeout | undefined;
  const hangs = new Promise<string>((resolve) => {
    hang = setTimeout(() => resolve('it does not end'), hangingMs);
  });
  const outcome = await Promise.race([
    ended.catch((error: unknown) => `it rejects: ${String(error)}`),
    hangs,
  ]);
  clearTimeout(end);
  clearTimeout(hang);
  if (typeof outcome === 'string') return `${outcome}\n${said}`;
  if (uncaught.length > 0) return `nobody catches ${String(uncaught.shift())}\n${said}`;
  if (outcome === 70 || /internal error|^\s+at .*:\d+:\d+/m.test(said)) return said;
  // Nothing is wrong with a command line that fails, but then it says why. Commands of io need not.
  return outcome !== 0 && said === '' && command.name !== 'io' && !command.name.startsWith('io ')
    ? `it says nothing and ends with ${outcome}`
    : undefined;
}

/** As one would type it. */
function shown({ command, argv }: Line): string {
  const word = (text: string): string =>
    /^[\w./:=,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\\\''")}'`;
  const long = (text: string): string =>
    text.length > 80 ? `${text.slice(0, 40)}…(${text.length} characters)` : text;
  return [command.name.split(' ', 1)[0]!, ...argv.map((text) => word(long(text)))].join(' ');
}

/** Every command line with one value that is not known to be good. */
function linesWithOneValue(): Line[] {
  return commands.flatMap((command) => [
    ...command.options.flatMap((option) =>
      (option.takesValue ? valuesFor(command, option.name) : ['']).map((value) => ({
        command,
        argv: command.argv(option.words(value), command.operands),
      })),
    ),
    ...[...command.operands.keys(), command.operands.length].flatMap((index) =>
      valuesFor(command, 'operand').map((value) => ({
        command,
        argv: command.argv(
          [],
          [...command.operands.slice(0, index), value, ...command.operands.slice(index + 1)],
        ),
      })),
    ),
  ]);
}

/** Several options and operands at once: each is the index of an option, or beyond them of an operand, and of a value. */
const choices = fc.record({
  command: fc.nat(),
  chosen: fc.array(fc.record({ place: fc.nat(), value: fc.nat() }), { minLength: 1, maxLength: 5 }),
});

function lineOf({
  command: index,
  chosen,
}: {
  command: number;
  chosen: readonly { place: number; value: number }[];
}): Line {
  const command = commands[index % commands.length]!;
  const options: string[] = [];
  const operands = [...command.operands];
  for (const { place, value } of chosen) {
    const which = place % (command.options.length + operands.length + 1);
    const option = command.options[which];
    const candidates = valuesFor(command, option?.name ?? 'operand');
    // With several at once something big could really be made.
    const small = candidates.filter((candidate) => !hugeNumber.test(candidate));
    const text = small[value % small.length];
    if (!option) operands[which - command.options.length] = text ?? '';
    else if (!option.takesValue) options.push(...option.words(''));
    else if (text !== undefined) options.push(...option.words(text));
  }
  return { command, argv: command.argv(options, operands) };
}

const hugeNumber = /^[1-9]\d{9,15}$|T$/;

/** Mistakes that ended in an internal error before, and what is right. */
const found: readonly (readonly [command: string, argv: readonly string[], said: string])[] = [
  [
    'io',
    ['-f', 'raw', images.raw, '-c', 'sigraise 66'],
    "signal argument '66' is too large to be a valid signal\n",
  ],
  [
    'io',
    ['-f', 'raw', images.raw, '-c', 'sigraise 7E'],
    "signal argument '7E' is too large to be a valid signal\n",
  ],
  [
    'img create',
    ['create', 'new', '7E'],
    "Formatting 'new', fmt=raw size=8070450532247928832\nimg: new: The image size is too large for file format 'raw'\n",
  ],
  [
    'storage-daemon',
    ['--chardev', 'socket,id=c,host=127.0.0.1,port=65536'],
    'storage-daemon: --chardev socket,id=c,host=127.0.0.1,port=65536: ' +
      'address resolution failed for 127.0.0.1:65536: Servname not supported for ai_socktype\n',
  ],
  [
    'storage-daemon',
    ['--chardev', 'socket,id=c,path=513,server=on,wait=off', '--monitor', 'nobody'],
    'storage-daemon: --monitor nobody: chardev "nobody" not found\n',
  ],
  [
    'storage-daemon',
    ['--chardev', 'socket,id=c,path=,server=on,wait=off'],
    'storage-daemon: --chardev socket,id=c,path=,server=on,wait=off: UNIX socket path is empty\n',
  ],
  [
    'storage-daemon',
    ['--chardev', `socket,id=c,path=${images.raw}/x,server=on,wait=off`],
    `storage-daemon: --chardev socket,id=c,path=${images.raw}/x,server=on,wait=off: ` +
      `Failed to bind socket to ${images.raw}/x: Not a directory\n`,
  ],
  ['web', ['x'.repeat(300)], `web: '${'x'.repeat(300)}': File name too long\n`],
];

describe('the tables of command lines', () => {
  test('have every command of every program, with its options', () => {
    const names = commands.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { name } of imgCommands) expect(names).toContain(`img ${name}`);
    for (const { name } of ioCommands) expect(names).toContain(`io -c ${name}`);
    for (const { name } of drivers) expect(names).toContain(`io json: ${name}`);
    for (const { name } of deviceTypes) expect(names).toContain(`system -device ${name}`);
    for (const name of Object.keys(chardevBackends)) {
      if (name !== 'stdio') expect(names).toContain(`storage-daemon --chardev ${name}`);
    }
    // What an option is said to be in the help, it is here, too.
    for (const { name, synopsis = '' } of [
      ...imgCommands.map((one) => ({ ...one, name: `img ${one.name}` })),
      ...ioCommands.map((one) => ({ ...one, name: `io -c ${one.name}` })),
    ]) {
      const command = commands.find((one) => one.name === name)!; // as was seen above
      for (const [, long] of synopsis.matchAll(/\[--([a-z-]+)/g)) {
        expect(
          command.options.map((option) => option.name),
          name,
        ).toContain(`--${long}`);
      }
      if (/\[-\w/.test(synopsis)) expect(command.options, name).not.toEqual([]);
    }
    expect(linesWithOneValue().length).toBeGreaterThan(50_000);
  });

  test('would show an internal error, a stack, an error that nobody catches, and silence', async () => {
    const line = (main: Command['main']): Line => ({
      command: { name: 'fake', main, options: [], operands: [], argv: () => [] },
      argv: [],
    });
    const failing =
      (act: (terminal: Terminal) => void): Command['main'] =>
      async (_argv, _name, terminal) => {
        if (terminal) act(terminal);
        return 1;
      };
    const bug = (): never => {
      throw new TypeError('made up');
    };
    const lines: readonly [Line, RegExp][] = [
      [
        line((_argv, name, terminal) => runTool(new Tool(name, terminal), async () => bug())),
        /internal error: TypeError: made up/,
      ],
      [line(failing((terminal) => terminal.error(String(new Error('x').stack)))), / at /],
      [line(async () => bug()), /^it rejects: TypeError: made up/],
      [line(failing(() => catchThem(new Error('late')))), /^nobody catches Error: late/],
      [line(failing(() => {})), /^it says nothing and ends with 1/],
    ];
    for (const [one, problem] of lines) expect(await problemWith(one)).toMatch(problem);
    expect(await problemWith(line(async () => 0))).toBeUndefined();
  });
});

describe('a command line', () => {
  test.each(found)(
    'of %s that once ended in an internal error is answered in plain words (%#)',
    async (name, argv, said) => {
      const { main } = commands.find((command) => command.name === name)!; // they are in the tables
      restore();
      let all = '';
      const take = (text: string): void => void (all += text);
      const status = await main([...argv], name.split(' ', 1)[0]!, { out: take, error: take });
      expect({ status, all }).toEqual({ status: 1, all: said });
    },
  );

  test('is taken or refused, whatever one value in it is', async () => {
    const random = new Seeded(seed);
    const all = linesWithOneValue();
    const problems: string[] = [];
    const chosen = lineCount >= all.length ? all : Array.from({ length: lineCount }, () => random.pick(all));
    for (const line of chosen) {
      const problem = await problemWith(line);
      if (problem !== undefined) problems.push(`${shown(line)}\n    ${problem.trim()}`);
    }
    expect(problems).toEqual([]);
  }, 3_600_000);

  test('is taken or refused, whatever several values in it are', async () => {
    const taken = fc.asyncProperty(choices, async (choice) => {
      const line = lineOf(choice);
      const problem = await problemWith(line);
      if (problem !== undefined) throw new Error(`${shown(line)}\n    ${problem.trim()}`);
    });
    await fc.assert(taken, {
      seed,
      numRuns: Math.ceil(lineCount / 3),
      endOnFailure: false,
      includeErrorInReport: true,
    });
  }, 3_600_000);
});
