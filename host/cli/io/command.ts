/** What an `io` command is, and how it gets its arguments apart. */
import { describeUsageError, OptionReader, type OptionSpec, UsageError } from '../shared/getopt.ts';
import { parseInteger, parseSize } from '../shared/numbers.ts';
import type { Session } from './session.ts';

export interface IoCommand {
  name: string;
  /** A second name. */
  alias?: string;
  /** Bounds on the number of words after the name; without `max` there is none. */
  args: { min: number; max?: number };
  /** As the one-line help shows them; absent: none. */
  synopsis?: string;
  help: string;
  /** More help, in lines. */
  longHelp?: readonly string[];
  /** It is about which image the session has: only the tool itself offers it. */
  choosesImage?: boolean;
  /** Works without an open image. */
  noFile?: boolean;
  /** Permissions that are asked for before it runs (block/permissions.ts). */
  needs?: number;
  /** Throws CommandFailed, or a BlockError that is reported as it is. */
  run(session: Session, args: readonly string[]): Promise<void>;
}

/** A command did not do what it should; why has been printed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/** `read [-abCqrv] … off len -- reads a number of bytes at a specified offset` */
export function oneLine({ synopsis, help, ...command }: IoCommand, name = command.name): string {
  return `${name} ${synopsis === undefined ? '' : `${synopsis} `}-- ${help}\n`;
}

/** What is wrong is said on standard output, as all that commands print. */
export function complain(session: Session, message: string): never {
  session.tool.out(`${message}\n`);
  throw new CommandFailed(message);
}

export function showUsage(session: Session, command: IoCommand): never {
  session.tool.out(oneLine(command));
  throw new CommandFailed(`usage of ${command.name}`);
}

/**
 * Options as a getopt string: a colon follows those with an argument. Returns the operands. What comes behind an option of which
 * `take` says `done` is not looked at.
 */
export function readOptions(
  session: Session,
  command: IoCommand,
  args: readonly string[],
  letters: string,
  take: (letter: string, value: string) => unknown,
): string[] {
  const reader = new OptionReader(args, optionSpecs(letters));
  try {
    for (const { name, value } of reader.options()) if (take(name, value) === 'done') break;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    session.tool.error(`${session.commandName}: ${describeCommandUsage(error)}\n`);
    showUsage(session, command);
  }
  return reader.operands;
}

/** Commands have no long options: to getopt `--x` is the option `-`. */
function describeCommandUsage(error: UsageError): string {
  if (error.option.startsWith('--')) return "invalid option -- '-'";
  return describeUsageError(error);
}

function optionSpecs(letters: string): OptionSpec[] {
  return [...letters.matchAll(/([^:])(:?)/g)].map(([, short, colon]) => ({
    short: short!, // the pattern has it
    argument: colon === ':',
  }));
}

/** Complains of what is no size. Beyond 2^53 it is the double next to it, for requests, which do not get there. */
export function parseNumber(session: Session, text: string): number {
  return Number(parseExactNumber(session, text));
}

/** The same with all digits, where they are shown. */
export function parseExactNumber(session: Session, text: string): bigint {
  const parsed = parseSize(text);
  if (parsed.ok) return parsed.value;
  if (parsed.problem === 'range') complain(session, `Parsing error: argument too large -- ${text}`);
  return complain(
    session,
    `Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- ${text}`,
  );
}

export function parsePattern(session: Session, text: string): number {
  return parseInteger(text, 255) ?? complain(session, `${text} is not a valid pattern byte`);
}

/** By its name or its short name. */
export function findCommand(commands: readonly IoCommand[], name: string): IoCommand | undefined {
  return commands.find((command) => command.name === name || command.alias === name);
}
