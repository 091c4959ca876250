/**
 * `blockyard io`, and `qemu-io` when started by that name: reads and writes an image by commands, given with `-c` or
 * typed at a prompt (specification: cli, section 4).
 */
import { createInterface } from 'node:readline';
import { versionText } from '../../qmp/version.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { describeUsageError, OptionReader, UsageError } from '../shared/getopt.ts';
import { parseImageOptions } from '../shared/image-options.ts';
import { streamOf } from '../shared/terminal.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { commands } from './commands.ts';
import { execute } from './execute.ts';
import { OpenSettings } from './opening.ts';
import { type OpenRequest, Session } from './session.ts';

export const specs = [
  { short: 'h', long: 'help' },
  { short: 'V', long: 'version' },
  { long: 'object', argument: true },
  { long: 'image-opts' },
  { short: 'c', long: 'cmd', argument: true },
  { short: 'f', long: 'format', argument: true },
  { short: 'r', long: 'read-only' },
  { short: 's', long: 'snapshot' },
  { short: 'n', long: 'nocache' },
  { short: 'C', long: 'copy-on-read' },
  { short: 'm', long: 'misalign' },
  { short: 'k', long: 'native-aio' },
  { short: 'i', long: 'aio', argument: true },
  { short: 't', long: 'cache', argument: true },
  { short: 'd', long: 'discard', argument: true },
  { short: 'T', long: 'trace', argument: true },
  { short: 'U', long: 'force-share' },
];

interface Invocation {
  commands: string[];
  /** Undefined: no image is named. */
  request: OpenRequest | undefined;
  misaligned: boolean;
}

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, () => run(tool, argv));
}

async function run(tool: Tool, argv: string[]): Promise<number> {
  const { commands, request, misaligned } = await tool.attempt(() => readCommandLine(tool, argv));
  const session = new Session(tool, await tool.createGraph(), misaligned);
  try {
    if (request) await tool.attempt(() => session.open(request));
    const good = commands.length > 0 ? await runAll(session, commands) : await runInteractively(session);
    return good ? 0 : 1;
  } finally {
    await session.close();
  }
}

async function readCommandLine(tool: Tool, argv: string[]): Promise<Invocation> {
  const commands: string[] = [];
  const settings = new OpenSettings();
  let format: string | undefined;
  let imageOpts = false;
  let misaligned = false;
  let isTraced = false;
  const reader = new OptionReader(argv, specs);
  try {
    for (const { name, value } of reader.options()) {
      if (name === 'help') leave(tool, await usage(tool));
      else if (name === 'version') leave(tool, versionLine(tool));
      else if (name === 'object') await tool.addObject(value);
      else if (name === 'image-opts') imageOpts = true;
      else if (name === 'cmd') commands.push(value);
      else if (name === 'format') format = value;
      else if (name === 'misalign') misaligned = true;
      else if (name === 'trace') {
        isTraced = true;
        (await tool.trace()).take(value);
      } else settings.take(letterOf(name), value);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.report(describeUsageError(error));
    leave(tool, await usage(tool), 1);
  }
  if (isTraced) (await tool.trace()).begin();
  const [path, extra] = reader.operands;
  if (extra !== undefined) leave(tool, await usage(tool), 1);
  if (format !== undefined && imageOpts) tool.fail('--image-opts and -f are mutually exclusive');
  if (path === undefined) return { commands, request: undefined, misaligned };
  const named = imageOpts
    ? { path: undefined, options: parseImageOptions(path, tool, undefined) }
    : { path, options: {} };
  return { commands, request: { ...named, format, ...settings.request }, misaligned };
}

/** Of an option that has one. */
function letterOf(name: string): string {
  return specs.find(({ long }) => long === name)?.short ?? name;
}

function leave(tool: Tool, text: string, status = 0): never {
  tool.out(text);
  throw new ExitStatus(status);
}

async function runAll(session: Session, commands: readonly string[]): Promise<boolean> {
  let good = true;
  for (const command of commands) {
    if (!(await execute(session, command))) good = false;
    if (session.quit) break;
  }
  return good;
}

/**
 * The prompt is printed even when nobody sees it, as programs that drive the tool expect. On a terminal the line is edited, with a
 * history and names of commands completed.
 */
async function runInteractively(session: Session): Promise<boolean> {
  const { stdin } = process;
  const stdout = streamOf(1);
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true;
  const text = `${session.tool.name}> `;
  const lines = createInterface({
    input: stdin,
    ...(isTerminal ? { output: stdout, prompt: text, completer: completeCommand } : {}),
  });
  const prompt = (): void => (isTerminal ? lines.prompt() : session.tool.out(text));
  let good = true;
  prompt();
  for await (const line of lines) {
    if (!(await execute(session, line))) good = false;
    if (session.quit) break;
    prompt();
  }
  lines.close();
  return good;
}

/** Of the first word, and of the one that help is asked of. */
function completeCommand(line: string): [candidates: string[], word: string] {
  const [, , word] = /^\s*(help\s+)?(\S*)$/.exec(line) ?? [];
  if (word === undefined) return [[], line];
  const names = commands.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  return [names.filter((name) => name.startsWith(word)).map((name) => `${name} `), word];
}

function versionLine(tool: Tool): string {
  return `${tool.name.replace(/ /g, '-')} version ${versionText}\n`;
}

/** Loaded when it is asked for. */
async function usage(tool: Tool): Promise<string> {
  const help = await import('./help.ts');
  return help.usage(tool.name, specs);
}
