/** From the words of a line to the arguments of a command, with QEMU's words for what does not fit. */
import type { Arguments, HmpCommand, Parameter } from './command.ts';
import { LineError } from './line-error.ts';
import type { Words } from './words.ts';

const uint32Limit = 2n ** 32n;
/** The largest double below 2^63. What is cut down to it is beyond every limit either way. */
const maxInteger = 2 ** 63 - 1024;

/** `words`: the name of the command has been read. Errors: LineError. */
export function parseArguments(command: HmpCommand, words: Words): Arguments {
  const typed = words.taken;
  const { name, alias, parameters = [] } = command;
  // As QEMU's tables have it: commands of `info` by their own name, others with all their names.
  const called = name.replace(/^info /, '') + (alias === undefined ? '' : `|${alias}`);
  const args: Record<string, string | number | boolean | undefined> = {};
  try {
    for (const [i, parameter] of parameters.entries()) {
      args[parameter.name] =
        parameter.kind === 'flag'
          ? takeFlag(called, parameters.slice(i), words)
          : readParameter(called, parameter, words);
    }
    if (!words.isAtEnd) fail(`${called}: extraneous characters at the end of line`);
  } catch (error) {
    if (!(error instanceof LineError)) throw error;
    throw new LineError(`${error.message}${error.lineBreak}Try "help ${typed}" for more information`);
  }
  return args;
}

/** Each flag has its place: one that comes later in the list is not there now. `following`: from this flag on. */
function takeFlag(called: string, following: readonly Parameter[], words: Words): true | undefined {
  const letter = words.peekFlag();
  if (letter === undefined) return undefined;
  if (letter === following[0]?.letter) {
    words.takeFlag();
    return true;
  }
  const isKnown = following.some((parameter) => parameter.letter === letter);
  // A dash at the end of the line swallows the line break.
  if (!isKnown) throw new LineError(`${called}: unsupported option -${letter}`, letter === '' ? '' : '\n');
  return undefined;
}

const expected: Readonly<Partial<Record<Parameter['kind'], string>>> = {
  device: 'block device name',
  filename: 'filename',
};

function readParameter(
  called: string,
  { kind, optional }: Parameter,
  words: Words,
): string | number | boolean | undefined {
  if (optional && words.isAtEnd) return undefined;
  switch (kind) {
    case 'rest':
      if (words.isAtEnd) return fail(`${called}: string expected`);
      return words.rest();
    case 'int':
      return toNumber(words.integer());
    case 'int32':
      return readUint32(called, words);
    case 'switch':
      return readSwitch(words);
    case 'size':
      return toNumber(words.size());
    case 'options':
      return words.next() ?? '';
    default:
      return words.next() ?? fail(`${called}: ${expected[kind] ?? 'string'} expected`);
  }
}

function fail(problem: string): never {
  throw new LineError(problem);
}

function readSwitch(words: Words): boolean {
  const text = words.bare();
  if (text !== 'on' && text !== 'off') fail("Expected 'on' or 'off'");
  return text === 'on';
}

function readUint32(called: string, words: Words): number {
  const value = words.integer();
  if (value < 0n || value >= uint32Limit) {
    fail(`'${called}' has failed: integer is for 32-bit values`);
  }
  return Number(value);
}

function toNumber(value: bigint): number {
  return Math.max(Math.min(Number(value), maxInteger), -maxInteger);
}
